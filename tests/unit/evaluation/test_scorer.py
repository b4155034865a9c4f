"""Methods whose scores are known beforehand score as they must, whoever computes them."""

import re
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from glcic.data.packed import PackedImages
from glcic.evaluation.definitions import METHODS, METRICS, SLOW
from glcic.evaluation.figures import chosen
from glcic.evaluation.mask_sets import MaskSet, draw
from glcic.evaluation.scorer import Methods, Pixels, Scorer, evenly_spaced
from glcic.evaluation.tables import Scores, headline, images_of, means, read_methods, write_methods
from glcic.inference.blending import blend
from glcic.inference.classical import inpaint, mean_fill
from glcic.inference.completer import Completer, device_of
from glcic.networks.weights import save_weights
from glcic.report.bootstrap import Bootstrap, intervals
from support.networks import generator
from support.project import ABOUT, Project

GPU = device_of("auto").type != "cpu"


@pytest.fixture
def packed(cropped: Project) -> PackedImages:
    return PackedImages(cropped.folder / "data" / "images", "test")


def score(packed: PackedImages, mask_set: MaskSet, methods: Methods, batch_size: int = 3) -> pd.DataFrame:
    with Scorer(methods, batch_size=batch_size, processes=1) as scorer:
        return scorer.score(packed, mask_set)[0]


def ground_truth(images: Pixels, masks: Pixels) -> Pixels:
    return images


def shifted(images: Pixels, masks: Pixels) -> Pixels:
    return np.where(masks == 1, np.roll(images, 2, axis=3), images)


def noisy(images: Pixels, masks: Pixels) -> Pixels:
    """Off by 8 of 255, up or down."""
    off = np.random.default_rng(0).choice([-8, 8], size=images.shape)
    return np.where(masks == 1, np.clip(images + off, 0, 255), images).astype(np.uint8)


@pytest.mark.parametrize("name", ["center", "box", "strokes_1_10", "half"])
def test_the_ground_truth_has_no_error_and_an_undefined_psnr(packed: PackedImages, name: str) -> None:
    table = score(packed, draw(name, 0, len(packed), packed.image_size), Methods({"truth": ground_truth}))
    assert means(table)[name]["truth"] == {
        "l1_hole": 0,
        "l1": 0,
        "psnr": None,
        "psnr_hole": None,
        "ssim": 1,
        "ssim_hole": 1,
    }
    found = intervals(table, Bootstrap(50, 0.95, 0)).set_index("metric")
    for metric in METRICS:
        undefined = len(packed) if metric.startswith("psnr") else 0
        assert found.loc[metric, "undefined"] == undefined
        assert found.loc[metric, "images"] == len(packed) - undefined


def test_a_model_that_returns_its_mean_filled_input_scores_as_mean_fill(packed: PackedImages) -> None:
    def idle(images: Pixels, masks: Pixels) -> Pixels:
        """What a network would return that copies its input, whose hole is filled."""
        return mean_fill(images, masks, packed.mean_pixel)

    methods = Methods({"completion": idle}, of_blocks={"mean_fill": idle})
    for name in ("center", "box"):
        table = score(packed, draw(name, 0, len(packed), packed.image_size), methods)
        by_method = means(table)[name]
        assert by_method["completion"] == by_method["mean_fill"]
        assert by_method["completion"]["l1_hole"] not in (0, None)
        hole = table[table["method"] == "mean_fill"]
        assert (hole["l1_hole"] * hole["area_ratio"]).tolist() == pytest.approx(hole["l1"].tolist())


def test_a_completion_shifted_by_two_pixels_scores_worse(packed: PackedImages) -> None:
    mask_set = draw("center", 0, len(packed), packed.image_size)
    table = score(packed, mask_set, Methods({"noisy": noisy, "shifted": lambda i, m: shifted(noisy(i, m), m)}))
    by_method = means(table)["center"]
    for metric, about in METRICS.items():
        better, worse = by_method["noisy"][metric], by_method["shifted"][metric]
        assert better is not None
        assert worse is not None
        assert (better > worse) == about.higher, metric


def test_refined_and_given_methods_stand_in_the_order_of_the_tables(packed: PackedImages) -> None:
    mask_set = draw("center", 0, len(packed), packed.image_size)
    methods = Methods(
        {"telea": ground_truth, "completion": noisy},
        refinements={"blended": ("completion", lambda completed, images, masks: images)},
        of_blocks={"nearest": ground_truth},
    )
    theirs = noisy(packed.read(np.arange(len(packed))), np.ones_like(mask_set.masks))  # not only in the holes
    given = {"theirs": theirs.__getitem__}
    with Scorer(methods, batch_size=len(packed), processes=1) as scorer:
        table = scorer.score(packed, mask_set, given=given)[0]
        alone = scorer.score(packed, mask_set, alone="completion")[0]
    assert list(means(table)["center"]) == ["completion", "blended", "telea", "nearest", "theirs"]
    assert means(table)["center"]["blended"]["l1"] == 0
    assert means(table)["center"]["theirs"] == means(table)["center"]["completion"]
    assert means(alone)["center"] == {"completion": means(table)["center"]["completion"]}


@pytest.mark.parametrize(("n", "k", "chosen"), [(4, 2, [0, 2]), (10, 3, [0, 3, 6]), (3, 1, [0]), (2, 2, [0, 1])])
def test_images_are_chosen_evenly(n: int, k: int, chosen: list[int]) -> None:
    assert np.flatnonzero(evenly_spaced(n, k)).tolist() == chosen
    for all_of_them in (None, n, n + 1):
        assert evenly_spaced(n, all_of_them).all()


@pytest.mark.parametrize("processes", [1, 2])
def test_slow_methods_complete_some_images(packed: PackedImages, processes: int) -> None:
    """Two of four images, in parts of one, so that there are parts of which none is completed."""
    mask_set = draw("box", 0, len(packed), packed.image_size)
    methods = Methods(
        {"telea": partial(inpaint, method="telea"), "mean_fill": partial(mean_fill, mean_pixel=[0, 0, 1])}
    )
    with Scorer(methods, batch_size=1, processes=processes) as scorer:
        everything = scorer.score(packed, mask_set)[0]
    with Scorer(methods, batch_size=1, processes=processes, images=2) as scorer:
        found = scorer.score(packed, mask_set)[0]
    assert len(packed) == 4
    assert images_of(found) == {"box": {"mean_fill": 4, "telea": 2}}
    telea = everything[everything["method"] == "telea"]
    pd.testing.assert_frame_equal(
        found[found["method"] == "telea"].reset_index(drop=True), telea.iloc[[0, 2]].reset_index(drop=True)
    )
    pd.testing.assert_frame_equal(
        found[found["method"] == "mean_fill"], everything[everything["method"] == "mean_fill"]
    )
    assert means(found)["box"]["telea"]["l1"] == pytest.approx(
        (telea["l1"].iloc[0] + telea["l1"].iloc[2]) / 2, abs=1e-6
    )


def test_scores_say_which_image_and_which_hole(packed: PackedImages) -> None:
    mask_set = draw("box", 0, len(packed), packed.image_size)
    table = score(packed, mask_set, Methods({"a": noisy, "b": ground_truth}))
    assert len(table) == 2 * len(packed)
    own = table[table["method"] == "a"]
    assert own["file"].tolist() == packed.index["file"].tolist()
    assert own[["top", "left", "height", "width"]].to_numpy().tolist() == mask_set.boxes.tolist()
    truth = packed.read(np.arange(len(packed)))
    assert own["brightness"].to_numpy() == pytest.approx(truth.mean(axis=(1, 2, 3)) / 255)


def test_a_network_in_the_scorers_own_process_scores_as_in_others(packed: PackedImages, tmp_path: Path) -> None:
    """As on a GPU: its batches have the same size there, so that even the rounding is the same on one device."""
    torch.manual_seed(0)
    save_weights(tmp_path / "weights.safetensors", generator(0.0625).state_dict(), ABOUT)
    network = partial(Completer(tmp_path / "weights.safetensors", "cpu"), batch_size=3)
    mask_set = draw("box", 0, len(packed), packed.image_size)
    refined = {"blended": ("completion", blend)}
    with Scorer(Methods({"completion": network}, refined), batch_size=3, processes=2) as scorer:
        in_others = scorer.score(packed, mask_set)[0]
    own = Methods({}, refined, {"completion": network, "idle": lambda images, masks: images})  # which no pickle takes
    with Scorer(own, batch_size=3, processes=2) as scorer:
        in_own = scorer.score(packed, mask_set)[0]
        alone = scorer.score(packed, mask_set, alone="completion")[0]
    pd.testing.assert_frame_equal(in_own[in_own["method"] != "idle"].reset_index(drop=True), in_others)
    pd.testing.assert_frame_equal(alone, in_others[in_others["method"] == "completion"])


RUNTIMES = [
    {"num_threads": 2},
    pytest.param({"accelerator": "auto"}, marks=pytest.mark.skipif(GPU, reason="a GPU rounds differently")),
]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_neither_processes_nor_the_choice_of_a_device_changes_a_byte(
    finished: Project, tmp_path: Path, runtime: dict[str, object]
) -> None:
    project = finished.copy(tmp_path / "copy")
    written = ("reports/*.csv", "reports/metrics.json", "reports/masks.npz", "reports/gallery/*", "reports/figures/*")
    before = project.bytes_of(*written)
    project.set({"runtime": runtime})
    (project.folder / "reports/scores.csv").unlink()  # a link into DVC's cache, or read-only
    project.stage("evaluate")
    assert project.bytes_of(*written) == before


def test_the_number_of_images_of_slow_methods(finished: Project, tmp_path: Path) -> None:
    """Two of the four test images, in every file of the report; more than there are: all."""
    project = finished.copy(tmp_path / "copy")
    written = ("reports/*.csv", "reports/*.json", "reports/index.html", "reports/gallery/*", "reports/figures/*")
    before = project.bytes_of(*written)
    everything = pd.read_csv(project.folder / "reports/scores.csv").query("split == 'test'")
    (project.folder / "reports/scores.csv").unlink()  # a link into DVC's cache, or read-only
    project.set({"evaluate": {"images": 2}})
    project.stage("evaluate")
    project.stage("report")
    tables = {path.stem: pd.read_csv(path) for path in project.folder.glob("reports/*.csv")}
    number = {name: 2 if name in SLOW else 4 for name in METHODS}

    scores = tables["scores"].query("split == 'test'")
    rows = everything["row"].unique()[[0, 2]]
    kept = everything[~everything["method"].isin(SLOW) | everything["row"].isin(rows)]
    pd.testing.assert_frame_equal(scores.reset_index(drop=True), kept.reset_index(drop=True))
    methods = tables["methods"].set_index(["mask_set", "method"])
    assert methods["images"].to_dict() == {
        (mask_set, name): number[name] for mask_set in ("center", "box") for name in number
    }
    by_image = everything.set_index(["mask_set", "method", "row"])["l1_hole"]
    first, third = by_image["box", "telea", rows[0]], by_image["box", "telea", rows[1]]
    assert methods.loc[("box", "telea"), "l1_hole"] == pytest.approx((first + third) / 2, abs=1e-4)
    assert tables["validation"]["images"].tolist() == [4, 4]

    sure = tables["intervals"].query("metric == 'l1_hole' and mask_set == 'box'").set_index("method")
    assert list(sure.index) == list(METHODS)
    assert (sure["images"] + sure["undefined"]).to_dict() == number
    assert sure["clusters"].to_dict() == number
    ends = sure.loc[["telea"], ["low", "high"]].iloc[0].tolist()
    reach = 12.706 * abs(first - third) / 2  # of two images: Student's t times the standard error
    assert ends == pytest.approx([(first + third) / 2 - reach, (first + third) / 2 + reach], rel=0.05)
    differences = tables["differences"].query("metric == 'l1_hole' and mask_set == 'box'").set_index("other")
    assert differences["images"].to_dict() == {name: n for name, n in number.items() if name != "completion"}
    own = [by_image["box", "completion", row] for row in rows]
    assert differences.loc["telea", "difference"] == pytest.approx((sum(own) - first - third) / 2, abs=1e-4)

    said = "Telea, Navier–Stokes and biharmonic are scored on 2 of the 4 test images"
    page = (project.folder / "reports/index.html").read_text()
    assert said in page
    assert "Telea, 2 images" in page
    assert not re.search(r"mean fill, \d", page)
    assert said in (project.folder / "models/model_card.md").read_text()
    printed = project.run("glcic", "results")
    assert said in printed
    assert "| box      | Telea, 2 images " in printed

    project.run("glcic", "export-test-set", "given")
    for mask_set in ("center", "box"):  # another system, which returns its input, is scored on all images
        (project.folder / "given" / mask_set / "input").rename(project.folder / "given" / "moved")
        shutil.rmtree(project.folder / "given" / mask_set)
        (project.folder / "given" / "moved").rename(project.folder / "given" / mask_set)
    printed = project.run("glcic", "score", "given", "white")
    assert printed.count(said) == 2
    theirs = pd.read_csv(project.folder / "given/methods.csv").query("mask_set == 'box'").set_index("method")
    assert theirs["images"].to_dict() == {**number, "white": 4}
    paired = pd.read_csv(project.folder / "given/differences.csv").query("mask_set == 'box' and metric == 'l1'")
    assert dict(zip(paired["other"], paired["images"], strict=True)) == number

    project.set({"evaluate": {"images": 5}})
    project.stage("evaluate")
    project.stage("report")
    assert project.bytes_of(*written) == before


@pytest.mark.skipif(GPU, reason="there is one")
def test_a_missing_device_is_named(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "copy")
    project.set({"runtime": {"accelerator": "cuda"}})
    printed = project.stage("evaluate", expect=1)
    assert printed.splitlines()[-1] == (
        "error: runtime.accelerator = cuda: not available here; accelerator: cpu always works"
    )


def test_no_table_has_nan_or_infinity(finished: Project) -> None:
    for path in [*finished.folder.glob("reports/*.csv"), *finished.folder.glob("reports/*.json")]:
        words = path.read_text().lower().replace(",", " ").replace(":", " ").split()
        assert not {"nan", "inf", "-inf", "infinity", "-infinity"} & set(words), path


def test_means_are_over_finite_scores() -> None:
    table = pd.DataFrame(
        {"mask_set": "center", "method": "m", "l1_hole": [1, 3], "l1": [1, 3], "psnr": [20, np.inf], "ssim": [0.5, 1]}
    )
    assert means(table) == {"center": {"m": {"l1_hole": 2, "l1": 2, "psnr": 20, "ssim": 0.75}}}


def test_tables_of_methods_and_headline() -> None:
    perfect: Scores = {**dict.fromkeys(METRICS, 0.0), "psnr": None, "ssim": 1.0}
    fair: Scores = {**perfect, "psnr": 24.5}
    methods: dict[str, dict[str, Scores]] = {
        "center": {"completion": {**fair, "lpips": 0.1}, "telea": {**perfect, "lpips": None}}
    }
    text = write_methods(methods, {"center": {"completion": 20, "telea": 5}})
    assert text.splitlines() == [
        "mask_set,method,images,l1_hole,l1,psnr,psnr_hole,ssim,ssim_hole,lpips",
        "center,completion,20,0.0,0.0,24.5,0.0,1.0,0.0,0.1",
        "center,telea,5,0.0,0.0,,0.0,1.0,0.0,",
    ]
    assert read_methods(text) == methods
    assert read_methods("mask_set,method,l1\ncenter,telea,1.5\n") == {"center": {"telea": {"l1": 1.5}}}  # of before
    sets = {**methods, "box": {"completion": {**fair, "psnr": 25.5, "ssim": 0.5}}}
    assert headline({"box": {"completion": perfect}}, sets) == {
        "val": {"l1_hole": 0.0, "psnr": None, "ssim": 1.0},  # a mean of which one is undefined would be of other masks
        "test": {"l1_hole": 0.0, "psnr": 25.0, "ssim": 0.75},
    }
    with pytest.raises(KeyError):
        read_methods("mask_set,method,beauty\ncenter,completion,1\n")


def test_gallery_shows_best_median_and_worst() -> None:
    errors = [5.0, 1.0, 9.0, 3.0, 7.0, 2.0, 8.0]
    scores = pd.DataFrame({"row": range(10, 17), "file": list("abcdefg"), "l1_hole": errors, "psnr": 0.0})
    assert chosen(scores, 1)["l1_hole"].tolist() == [1, 5, 9]
    assert chosen(scores, 2)["rank"].tolist() == ["best", "best", "median", "median", "worst", "worst"]
    assert chosen(scores, 2)["item"].tolist() == [1, 5, 3, 0, 6, 2]
    assert chosen(scores, 2)["row"].tolist() == [11, 15, 13, 10, 16, 12]
    assert chosen(scores, 9)["l1_hole"].tolist() == [1, 2, 3, 5, 8, 9]  # no image twice
    assert chosen(scores[:2], 1).empty
