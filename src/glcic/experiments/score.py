"""Scoring of another system with our masks: export of its inputs, check of its completions, and scores.

A folder has one subfolder per mask set. In an export, <mask set>/input/000000.png is the first image of the test
split with a white hole, and <mask set>/mask/000000.png is white in the hole; the ground truth is not exported. In a
folder of completions, <mask set>/000000.png is the first completed image. Both folders contain the manifest.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from glcic import paths
from glcic.data.packed import PackedImages
from glcic.errors import UserError
from glcic.evaluation.definitions import ALL, MASK_SETS, METHODS
from glcic.evaluation.mask_sets import MaskSet, in_white, stored
from glcic.evaluation.scorer import Methods, Scorer
from glcic.evaluation.tables import Scores, images_of, means_of, read_methods, write_methods
from glcic.experiments.fit import check_fit
from glcic.experiments.results import texts
from glcic.files import write_csv, write_text
from glcic.images import reader
from glcic.masks.geometry import Pixels
from glcic.params import load
from glcic.report import jackknife
from glcic.report.bootstrap import Bootstrap, differences, in_words, intervals
from glcic.report.formatting import change, markdown, method_title
from glcic.report.report_data import Scored, read_table, records
from glcic.report.tables import on_fewer, scores
from glcic.report.write import in_order, refuse_other_looks

MANIFEST = "manifest.csv"
HASHES = {"masks": "sha256", "images": "images_sha256"}  # its columns
COMPLETION = re.compile(r"\d{6}\.png")  # name of a completion's file
SIMILAR = 0.8  # of difflib: `centers` is as similar to `center`


def export(folder: Path, packed: PackedImages, mask_set: MaskSet) -> None:
    """Write the inputs and masks of one mask set, without the true pixels of the holes."""
    for kind in ("input", "mask"):
        (folder / mask_set.name / kind).mkdir(parents=True, exist_ok=True)
    for item in tqdm(range(len(packed)), desc=f"export {mask_set.name}", unit=" images", disable=None):
        mask = mask_set.masks[item]
        image = in_white(packed.read(np.array([item]))[0], mask)
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / mask_set.name / "input" / _name(item))
        Image.fromarray(mask[0] * np.uint8(255)).save(folder / mask_set.name / "mask" / _name(item))


def completions(folder: Path, packed: PackedImages, mask_set: MaskSet) -> Pixels:
    """Read the completions of one mask set as composites: the original pixels outside the hole.

    Returns:
        Images, (N, 3, S, S), uint8, 0 to 255.

    Raises:
        UserError: one is missing, can't be read, has another size, or does not belong to its image.
    """
    completed = packed.read(np.arange(len(packed)))
    files = [folder / mask_set.name / _name(item) for item in range(len(packed))]
    for path, image in zip(files, completed, strict=True):
        if not path.exists():
            raise UserError(
                f"{path}: no such file; there must be one for each of the {len(packed)} test images, from "
                f"{_name(0)} to {_name(len(packed) - 1)}"
            )
        pixels = reader.pixels(reader.read(path, "save it as PNG"))
        if pixels.shape != image.shape:
            raise UserError(
                f"{path}: {pixels.shape[2]}×{pixels.shape[1]} pixels, but the images are "
                f"{packed.image_size}×{packed.image_size}; scale the system's output to that"
            )
        image[:] = pixels
    check_fit(completed, packed, mask_set.masks, files)
    for item, mask in enumerate(mask_set.masks):
        np.copyto(completed[item], packed.read(np.array([item]))[0], where=mask == 0)
    return completed


def sets_in(folder: Path, exported: Sequence[str]) -> list[str]:
    """List the exported mask sets that have a folder of completions, and say which ones have none.

    Args:
        folder: folder of the completions.
        exported: names of the exported mask sets.

    Raises:
        UserError: none has one, or there is a folder that looks like that of a mask set but is none of these.
    """
    found = [name for name in exported if (folder / name).is_dir()]
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.is_dir() and path.name not in exported and _looks_like_a_set(path, exported):
            raise UserError(
                f"{path}: not an exported mask set; they are {', '.join(exported)}{_meant(path.name, exported)}; "
                "rename the folder, or move it elsewhere"
            )
    if not found:
        raise UserError(f"{folder}: has none of the folders {', '.join(exported)}; `glcic export-test-set` shows how")
    if missing := [name for name in exported if name not in found]:
        print(f"note: scored: {', '.join(found)}; not there: {', '.join(missing)}", file=sys.stderr, flush=True)
    return found


def _looks_like_a_set(path: Path, exported: Sequence[str]) -> bool:
    known = path.name in MASK_SETS or bool(_meant(path.name, exported))
    return known or any(COMPLETION.fullmatch(file.name) for file in path.iterdir())


def _meant(name: str, exported: Sequence[str]) -> str:
    similar = get_close_matches(name.casefold(), exported, n=1, cutoff=SIMILAR)
    return f" (is it {similar[0]}?)" if similar else ""


def check_manifest(folder: Path, ours: pd.DataFrame, sets: Sequence[str]) -> None:
    """Check that completions belong to our masks and images.

    Args:
        folder: folder of the completions and their manifest.
        ours: our manifest.
        sets: mask sets that are to be scored; the manifest must list each of them, once.

    Raises:
        UserError: the manifest has other hashes, lacks a mask set, has an unknown one or one twice, is invalid or is
            missing.
    """
    path = folder / MANIFEST
    exported = [str(name) for name in ours["mask_set"]]
    try:
        listed = pd.read_csv(path, dtype=str)
        theirs = listed.merge(ours.astype(str), on=["split", "mask_set"], suffixes=("", "_here"))
        others = {what: theirs[theirs[key] != theirs[f"{key}_here"]] for what, key in HASHES.items()}
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; copy the one that was exported with the images; it identifies the masks"
        ) from None
    except (KeyError, ValueError) as error:
        raise UserError(f"{path} is not the manifest that was exported ({error}); copy that one here") from None
    known = listed["split"].eq("test") & listed["mask_set"].isin(exported)
    for split, name in listed.loc[~known, ["split", "mask_set"]].itertuples(index=False):
        raise UserError(
            f"{path}: lists mask set {name} of split {split}, which was not exported{_meant(str(name), exported)}; "
            "copy the manifest that was exported with the images"
        )
    for name in listed.loc[listed["mask_set"].duplicated(), "mask_set"]:
        raise UserError(f"{path}: lists mask set {name} twice; copy the manifest that was exported with the images")
    for name in sets:
        if name not in set(listed["mask_set"]):
            raise UserError(
                f"{path}: does not list mask set {name}, so nothing says which masks were completed; copy the manifest "
                "that was exported with the images"
            )
    for what, other in others.items():
        if len(other):
            raise UserError(
                f"{path}: made for other {what} of mask set {other['mask_set'].iloc[0]} than these; export the test "
                "set again and complete that one"
            )


def _name(item: int) -> str:
    return f"{item:06d}.png"


def export_test_set(folder: Path) -> None:
    """Write the inputs and masks of all scored mask sets, and the manifest, for another system to complete.

    Args:
        folder: where to write; it must not exist.

    Raises:
        UserError: it exists, or nothing has been scored.
    """
    if folder.exists():
        raise UserError(f"{folder} exists; choose another folder, or remove it")
    manifest = scored_manifest()
    packed = PackedImages(paths.IMAGES, "test")
    folder.mkdir(parents=True)
    for name in manifest["mask_set"]:
        export(folder, packed, stored(paths.REPORT.masks, "test", name, packed.image_size))
    write_csv(folder / MANIFEST, manifest)
    print(f"wrote {len(packed)} images for each of {', '.join(manifest['mask_set'])} to {folder}")


def scored_manifest() -> pd.DataFrame:
    """Rows of reports/masks.csv for the test split.

    Raises:
        UserError: the file is missing, or does not match the stored masks and the current images.
    """
    if not paths.REPORT.manifest.exists():
        raise UserError(f"{paths.REPORT.manifest}: no such file; run `dvc repro` first")
    manifest = pd.read_csv(paths.REPORT.manifest)
    manifest = manifest[manifest["split"] == "test"].reset_index(drop=True)
    packed = PackedImages(paths.IMAGES, "test")
    for row in manifest.itertuples():
        stored_set = stored(paths.REPORT.masks, "test", str(row.mask_set), packed.image_size)
        if (stored_set.sha256, packed.summary["sha256"]) != (row.sha256, row.images_sha256):
            raise UserError(
                f"{paths.REPORT.manifest}: does not match {paths.REPORT.masks} and {paths.IMAGES}; run `dvc repro` "
                "to bring them up to date"
            )
    return manifest


def score_system(folder: Path, name: str) -> None:
    """Score another system's completions next to our methods, with the same masks.

    Prints the scores of all methods with intervals, and writes scores, methods, intervals and differences to the
    folder.

    Args:
        folder: completions, <mask set>/000000.png and so on, and the manifest.
        name: name of the system in the tables.

    Raises:
        UserError: one of our methods has the name, a file is missing, or the completions are of other masks or images.
    """
    if name in METHODS:
        raise UserError(f"{name}: one of our methods has this name; choose another name")
    if not paths.REPORT.scores.exists():
        raise UserError(f"{paths.REPORT.scores}: no such file; run `dvc repro` or `dvc pull` first")
    params = load(paths.PARAMS)
    manifest = scored_manifest()
    sets = sets_in(folder, [str(name) for name in manifest["mask_set"]])
    check_manifest(folder, manifest, sets)
    packed = PackedImages(paths.IMAGES, "test")
    packed.check()
    found = []
    with Scorer(
        Methods({}),
        batch_size=params.evaluate.batch_size,
        processes=params.runtime.num_threads,
        extra_metrics=params.evaluate.extra_metrics,
    ) as scorer:
        for mask_set in sets:
            masks = stored(paths.REPORT.masks, "test", mask_set, packed.image_size)
            found.append(scorer.score(packed, masks, given={name: completions(folder, packed, masks).__getitem__}))
    theirs = pd.concat([one.images for one in found], ignore_index=True).replace([np.inf, -np.inf], np.nan)
    ours = pd.read_csv(paths.REPORT.scores)
    ours = ours[(ours["split"] == "test") & ours["mask_set"].isin(sets)]
    together = pd.concat([ours, theirs], ignore_index=True)[[name for name in theirs.columns if name in ours.columns]]
    bootstrap = Bootstrap(params.report.bootstrap_samples, params.report.confidence_level, params.seed)
    sure, paired = intervals(together, bootstrap), differences(together, name, bootstrap)
    of_sets = pd.concat([one.looks for one in found], ignore_index=True)
    if paths.REPORT.looks.exists():
        ours_of_sets = read_table(paths.REPORT.looks)
        refuse_other_looks(paths.REPORT, ours_of_sets)
        of_sets = pd.concat([ours_of_sets[ours_of_sets["mask_set"].isin(sets)], of_sets], ignore_index=True)
    sure = in_order([sure, jackknife.intervals(of_sets, bootstrap.confidence_level)], sure, ["mask_set", "method"])
    between = jackknife.differences(of_sets, name, bootstrap.confidence_level)
    paired = in_order([paired, between], paired, ["mask_set"])
    for table, file in ((theirs, "scores.csv"), (sure, "intervals.csv"), (paired, "differences.csv")):
        write_csv(folder / file, table, float_format="%.6g")
    reported = read_methods(paths.REPORT.methods.read_text(encoding="utf-8"))
    means = means_of(found)
    methods = {mask_set: _with_all_metrics(reported[mask_set] | means[mask_set]) for mask_set in sets}
    write_text(folder / "methods.csv", write_methods(methods, images_of(together)))
    digests = manifest.set_index("mask_set")["sha256"]
    for mask_set in sets:
        _print(mask_set, str(digests[mask_set]), Scored(methods, sure), paired)
    print(
        f"\nwrote scores.csv, methods.csv, intervals.csv and differences.csv to {folder}, for the masks of {MANIFEST}"
    )


def _with_all_metrics(methods: Mapping[str, Scores]) -> dict[str, Scores]:
    """Scores of all methods with the same metrics; missing ones are None."""
    metrics = [metric for metric in ALL if any(metric in scores for scores in methods.values())]
    return {name: {metric: scores.get(metric) for metric in metrics} for name, scores in methods.items()}


def _print(mask_set: str, sha256: str, scored: Scored, paired: pd.DataFrame) -> None:
    titles = [ALL[metric].title for metric in scored.metrics]
    print(f"\n{mask_set}, test split, mean [interval]; SHA-256 of the masks: {sha256}\n")
    rows = [texts(row, range(len(titles))) for row in scores(scored, mask_set)]
    print(f"{markdown(['method', *titles], rows)}\n")
    if fewer := on_fewer(scored):
        print(f"{fewer}\n")
    own = paired[(paired["mask_set"] == mask_set) & (paired["metric"] == "psnr")]
    for one in records(own):
        said = in_words(one.low, one.high, ALL["psnr"].higher, one.method, method_title(one.other))
        print(f"PSNR: {said} ({change(one, ALL['psnr'].digits)} dB, paired)")
