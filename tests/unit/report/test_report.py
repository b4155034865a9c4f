"""The report: tables, page and model card, from scores that are made up and from those of a tiny pipeline."""

import csv
import io
import math
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from glcic.errors import UserError
from glcic.evaluation.definitions import METRICS
from glcic.experiments.keep import keep_report
from glcic.experiments.presets import preset_params
from glcic.experiments.verify import read_numbers
from glcic.networks.cost import count_parameters
from glcic.networks.weights import save_weights
from glcic.params import Params, validate
from glcic.report.bootstrap import Bootstrap
from glcic.report.formatting import comparisons, interval, listed, number
from glcic.report.page import LARGEST
from glcic.report.published import what_differs
from glcic.report.report_data import read_curve, read_report, read_weights
from glcic.report.write import write_report, write_statistics
from support import fake_report
from support.networks import generator
from support.project import ABOUT, ROOT, Project, default_tree, merge

TABLES = ("intervals.csv", "differences.csv", "slices.csv")
MADE = (*TABLES, "index.html")
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """What a page is made of; elements that are not closed, or not open, fail."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def params(preset: str = "default", **changes: object) -> Params:
    named = merge(default_tree(), {"report": {"bootstrap_samples": 200}, **changes})
    if preset == "default":
        return validate(named, Path("params.yaml"))
    return preset_params(preset, ROOT / "presets").model_copy(update={"preset": preset})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of 12 people, two mask sets and three methods; tests copy it."""
    folder = tmp_path_factory.mktemp("report") / "reports"
    fake_report.write(folder, 12, 60, ("completion", "telea", "nearest"), ("center", "box", "strokes_10_20"), size=16)
    write_report(folder, params())
    return folder


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "reports")


def test_tables_agree_with_the_scores(folder: Path) -> None:
    scores = pd.read_csv(folder / "scores.csv").query("split == 'test'")
    intervals = pd.read_csv(folder / "intervals.csv")
    means = scores.groupby(["mask_set", "method"])[list(METRICS)].mean().stack()
    found = intervals.set_index(["mask_set", "method", "metric"])["mean"]
    assert len(found) == 3 * 3 * 6
    assert np.allclose(found, means.loc[found.index], atol=1e-5)
    assert (intervals["low"] <= intervals["mean"]).all()
    assert (intervals["mean"] <= intervals["high"]).all()
    assert intervals["clusters"].unique().tolist() == [12]
    of_nearest = intervals.query("method == 'nearest' and metric == 'psnr'")
    assert of_nearest["undefined"].tolist() == [3, 3, 3]
    wide = scores.query("mask_set == 'box'").pivot(index="row", columns="method", values="l1_hole")
    differences = pd.read_csv(folder / "differences.csv").set_index(["mask_set", "metric", "other"])
    expected = (wide["completion"] - wide["telea"]).mean()
    assert differences.loc[("box", "l1_hole", "telea"), "difference"] == pytest.approx(expected, abs=1e-5)
    assert set(differences["method"]) == {"completion"}
    slices = pd.read_csv(folder / "slices.csv")
    assert set(slices["method"]) == {"completion", "nearest"}
    assert set(slices["mask_set"]) == {"center", "box", "strokes_10_20", "pooled"}


def test_what_is_undefined_is_an_empty_cell(copy: Path) -> None:
    scores = pd.read_csv(copy / "scores.csv", dtype=str, keep_default_na=False)
    scores["psnr"] = ""
    scores.to_csv(copy / "scores.csv", index=False)
    methods = pd.read_csv(copy / "methods.csv")
    methods.assign(psnr=np.nan).to_csv(copy / "methods.csv", index=False)
    write_report(copy, params())
    for name in TABLES:
        cells = [cell for row in csv.reader(io.StringIO((copy / name).read_text())) for cell in row]
        assert not [cell for cell in cells if cell.strip("-").lower() in ("nan", "inf", "none")], name
    page = Page((copy / "index.html").read_text())
    assert "60 undefined" in page.text
    assert not re.search(r"\bnan\b|\binf\b", page.text)


def test_page_is_whole_and_needs_nothing_else(folder: Path) -> None:
    text = (folder / "index.html").read_text()
    page = Page(text)
    assert len(text.encode()) <= LARGEST
    assert len(page.all("h1")) == 1
    assert page.all("script") == []
    assert page.all("html")[0]["lang"] == "en"
    for image in page.all("img"):
        assert str(image["src"]).startswith("data:image/webp;base64,")
        assert image["alt"]
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in page.all("svg"))
    assert len(page.all("table")) == len([box for box in page.all("div") if "box" in str(box.get("class"))]) - 1
    assert all(cell.get("scope") for cell in page.all("th"))
    assert [link["href"] for link in page.all("link")] == ["data:,"]
    assert "url(" not in text
    assert "@import" not in text
    anchors = {str(link["href"])[1:] for link in page.all("a") if str(link["href"]).startswith("#")}
    assert anchors <= {str(section.get("id")) for section in page.all("section")}
    assert "prefers-color-scheme: dark" in text


def test_page_says_what_people_ask_for(folder: Path) -> None:
    page = Page((folder / "index.html").read_text())
    for said in (
        "60 test images of 12 people",
        "completion beats Telea",
        "6.678",
        "26.780",
        "0.904",
        "64 × 64 pixels",
        "CelebA-HQ, val",
        "500,000 steps of 96 images",
        "No alarm was raised",
        "With 12 people, the intervals are rough",
        "200 resamples",
        "free-form brush strokes over 10 to 20 % of the image",
        f"{1:064x}",
        "glcic preset default make repro",
        "glcic verify",
        "3 undefined",
    ):
        assert said in page.text, said
    assert [details.get("open", "no") for details in page.all("details")][:3] == [None, None, "no"]


def test_same_files_same_bytes(folder: Path, copy: Path) -> None:
    before = {name: (copy / name).read_bytes() for name in MADE}
    for name in MADE:
        (copy / name).unlink()
    write_report(copy, params())
    assert {name: (copy / name).read_bytes() for name in MADE} == before
    (copy / "scores.csv").unlink()  # git does not keep it: the tables are then taken as they are
    write_report(copy, params())
    assert {name: (copy / name).read_bytes() for name in MADE} == before


def test_scores_that_are_not_those_of_the_evaluation_are_refused(copy: Path) -> None:
    scores = pd.read_csv(copy / "scores.csv")
    scores.loc[scores.index[scores["split"] == "test"][0], "psnr"] += 1
    scores.to_csv(copy / "scores.csv", index=False)
    with pytest.raises(
        UserError, match=r"scores\.csv: damaged: its mean psnr of completion on center is .*, but methods"
    ):
        write_report(copy, params())


def test_alarms_are_told(copy: Path) -> None:
    curve = pd.read_csv(copy / "curves/train_joint.csv")
    curve.assign(val_diversity=0.1).to_csv(copy / "curves/train_joint.csv", index=False)
    write_report(copy, params())
    page = Page((copy / "index.html").read_text())
    assert "generator collapsed , since step 200" in page.text
    assert "No alarm" not in page.text


def test_what_is_not_there_is_left_out(copy: Path) -> None:
    """Older reports have neither gallery nor columns of health, and a phase may have been skipped."""
    shutil.rmtree(copy / "gallery")
    (copy / "figures/completions.png").rename(copy / "completions.png")
    skipped = "step,images_seen,lr_factor,val_l1_hole,val_psnr\n0,0,1,40,12\n"  # what training writes then
    (copy / "curves/pretrain_generator.csv").write_text(skipped)
    (copy / "curves/pretrain_discriminators.csv").unlink()
    joint = pd.read_csv(copy / "curves/train_joint.csv")
    joint[["step", "images_seen", "val_psnr"]].to_csv(copy / "curves/train_joint.csv", index=False)
    write_report(copy, params())
    page = Page((copy / "index.html").read_text())
    assert [section["id"] for section in page.all("section")] == [
        "pictures",
        "scores",
        "better",
        "published",
        "failures",
        "training",
        "definitions",
        "intervals",
        "again",
    ]
    assert len(page.all("img")) == 1
    shutil.rmtree(copy / "curves")
    (copy / "completions.png").unlink()
    write_report(copy, params())
    assert Page((copy / "index.html").read_text()).all("img") == []


def test_skipped_points_of_a_curve(tmp_path: Path) -> None:
    (tmp_path / "curve.csv").write_text("step,images_seen,val_psnr\n2,8,\n4,16,nan\n6,24,20.5\n")
    curve = read_curve(tmp_path / "curve.csv")
    assert curve == [
        {"step": 2, "images_seen": 8},
        {"step": 4, "images_seen": 16},
        {"step": 6, "images_seen": 24, "val_psnr": 20.5},
    ]


def test_of_photographs_few_are_shown(copy: Path) -> None:
    write_report(copy, params())
    synthetic = Page((copy / "index.html").read_text())
    write_report(copy, params("celeba-small"))
    photographs = Page((copy / "index.html").read_text())
    assert len(synthetic.all("img")) == 1 + 3 * 3
    assert len(photographs.all("img")) == 1 + 2 * 3
    assert "GLCIC_CELEBA=" in photographs.text


@pytest.mark.parametrize("missing", ["scores.csv", "methods.csv", "masks.csv", "intervals.csv"])
def test_missing_tables_are_named(copy: Path, missing: str) -> None:
    (copy / missing).unlink()
    (copy / "scores.csv").unlink(missing_ok=True)
    if missing == "scores.csv":
        write_report(copy, params())
        with pytest.raises(UserError, match=r"scores\.csv: no such file"):
            write_statistics(copy, Bootstrap(100, 0.95, 0))
    elif missing == "intervals.csv":
        write_report(copy, params())  # means are there, intervals are not
        assert "60 test images" not in (copy / "index.html").read_text()
    else:
        with pytest.raises(UserError, match=f"{missing}: no such file"):
            write_report(copy, params())


def test_everything_at_once_is_small(tmp_path: Path) -> None:
    """All mask sets, all methods, and pictures that cannot be compressed."""
    fake_report.write(tmp_path, 22, 66, size=128, k=2)
    noise = np.random.default_rng(0).integers(0, 256, (1600, 3000, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "figures/completions.png")
    write_report(tmp_path, params())
    assert (tmp_path / "index.html").stat().st_size <= LARGEST
    assert (tmp_path / "slices.csv").stat().st_size < 300_000
    page = Page((tmp_path / "index.html").read_text())
    assert len(page.all("img")) == 1 + 3 * 11
    assert all(math.isfinite(float(str(image["width"]))) for image in page.all("img"))


def test_model_card(copy: Path, tmp_path: Path) -> None:
    network = generator(0.0625)
    save_weights(tmp_path / "generator_last.safetensors", network.state_dict(), ABOUT)
    (tmp_path / "summary.json").write_text(
        '{"image_size": 16, "num_images": {"train": 12, "val": 4, "test": 4}, "sha256": "5ca1ab1e"}'
    )
    weights = read_weights(tmp_path / "generator_last.safetensors")
    assert weights.parameters == count_parameters(network)
    write_report(
        copy,
        params(),
        summary=tmp_path / "summary.json",
        weights=tmp_path / "generator_last.safetensors",
        card=tmp_path / "card.md",
    )
    card = (tmp_path / "card.md").read_text()
    for said in (weights.sha256, f"{weights.parameters:,}", "12 for training", "5ca1ab1e", f"{1:064x}", "| `box` | "):
        assert said in card, said
    assert "\n\n\n" not in card
    tables = re.findall(r"(?:^\|.*\n)+", card, re.MULTILINE)
    assert len(tables) == 4
    assert all(len({line.count("|") for line in table.splitlines()}) == 1 for table in tables)
    write_report(copy, params("celeba-small"), card=tmp_path / "card.md")
    assert "non-commercial research only" in (tmp_path / "card.md").read_text()
    with pytest.raises(UserError, match=r"other\.safetensors: no such file"):
        read_weights(tmp_path / "other.safetensors")


def test_what_differs_from_mmagic() -> None:
    ours = {what: here for what, here, _ in what_differs(params("celeba-small"), 660, 22)}
    assert ours["data"] == "aligned CelebA, a part of the test split: 660 images of 22 people"
    assert ours["size of the masks"].startswith("27 to 32 pixels, at least 5 from the edge")
    assert ours["training"].startswith("16,000 steps of 16 images alone, then 2,000 steps")
    large = params(crop={"image_size": 256, "center_crop": None}, networks={"generator": {"width_multiplier": 1.0}})
    assert [what for what, _, _ in what_differs(large, None, None)] == ["data", "positions of the masks", "training"]


def test_words() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert number(-1234.567, 1) == "−1,234.6"
    assert number(-0.001, 2) == "0.00"
    assert number(None, 2) == number(math.nan, 2) == "–"
    assert interval(-1, 2, 1) == "[−1.0, 2.0]"
    assert interval(math.nan, 2, 1) == ""
    rows = [
        ("box", "psnr", "completion", "telea", 2.0, 1.0, 3.0, 9),
        ("box", "l1", "completion", "telea", -2.0, -3.0, -1.0, 9),
        ("box", "psnr", "completion", "pretrained", -0.3, -0.4, -0.2, 9),
        ("box", "l1", "completion", "pretrained", 0.1, -0.1, 0.2, 9),
    ]
    columns = ["mask_set", "metric", "method", "other", "difference", "low", "high", "images"]
    assert comparisons(pd.DataFrame(rows, columns=columns), "box") == [
        "completion beats Telea in each of the 2 metrics compared.",
        "pretrained beats completion in PSNR dB (−0.300 [−0.400, −0.200]); "
        "completion does not clearly differ from pretrained in L1 % (+0.100 [−0.100, 0.200]).",
    ]


def test_report_of_a_pipeline(finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage's outputs are there, the same when it runs again, and `make repro`'s last words are of them."""
    project = finished.copy(tmp_path / "project")
    outputs = ("reports/*.html", "reports/*.csv", "models/model_card.md")
    before = project.bytes_of(*outputs)
    assert {f"reports/{name}" for name in MADE} | {"models/model_card.md"} <= set(before)
    project.stage("report")
    assert project.bytes_of(*outputs) == before
    report = read_report(project.folder / "reports", validate(default_tree(), Path("params.yaml")))
    assert (report.images, report.people) == (4, None)
    monkeypatch.chdir(project.folder)
    kept = Path("reports/other")
    keep_report("other")
    assert "glcic verify reports/other" in (kept / "index.html").read_text()
    assert "git log -1 --format=%H -- reports/other/model_card.md" in (kept / "model_card.md").read_text()
    assert list(read_numbers(kept)) == list(read_numbers(Path("reports")))
    project.run("sha256sum", "--check", "reports/other/SHA256SUMS")
    for name in ("other/../..", "curves"):
        with pytest.raises(UserError, match="choose"):
            keep_report(name)
    project.set({"evaluate": {"figure_rows": 1}})
    with pytest.raises(UserError, match=r"evaluate: not up to date .* run `dvc repro` first"):
        keep_report("other")
    digests = pd.read_csv(kept / "masks.csv").query("split == 'test'")["sha256"]
    for arguments in ([], ["reports/other"]):
        printed = project.run("glcic", "results", *arguments)
        assert "| mask set | method " in printed
        assert re.search(r"\| center +\| \*\*completion\*\* +\| [\d.]+ \[[\d.]+, [\d.]+\] ", printed)
        assert "6.678" in printed
        assert "synthetic faces" in printed
        assert all(digest[:12] in printed for digest in digests)
