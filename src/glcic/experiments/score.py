"""Somebody else's system, scored with our holes: what it is given, what it gives back, and where it stands.

A folder has one subfolder per mask set. In an exported one, <mask set>/input/000000.png is the first image of the test
split with its hole white, <mask set>/mask/000000.png is white in the hole; the ground truth is not in it. In a folder
of completions, <mask set>/000000.png is the first image completed. The manifest lies in both.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from glcic import paths
from glcic.data.faces import Faces
from glcic.errors import UserError
from glcic.evaluation.definitions import ALL, METHODS
from glcic.evaluation.mask_sets import MaskSet, in_white, stored
from glcic.evaluation.scorer import Evaluation, Methods
from glcic.evaluation.tables import Scores, means_of, read_methods, write_methods
from glcic.experiments.results import texts
from glcic.files import read_image, write_csv, write_text
from glcic.masks.geometry import Pixels
from glcic.params import load
from glcic.report.bootstrap import Bootstrap, differences, in_words, intervals
from glcic.report.contents import Scored, records
from glcic.report.tables import scores
from glcic.report.words import change, markdown, method_title

MANIFEST = "manifest.csv"
HASHES = {"holes": "sha256", "images": "faces_sha256"}  # its columns


def export(folder: Path, faces: Faces, holes: MaskSet) -> None:
    """Write inputs and masks of one mask set, and nothing of what is under the holes."""
    for kind in ("input", "mask"):
        (folder / holes.name / kind).mkdir(parents=True, exist_ok=True)
    for item in tqdm(range(len(faces)), desc=f"export {holes.name}", unit=" images", disable=None):
        mask = holes.masks[item]
        image = in_white(faces.read(np.array([item]))[0], mask)
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / holes.name / "input" / _name(item))
        Image.fromarray(mask[0] * np.uint8(255)).save(folder / holes.name / "mask" / _name(item))


def completions(folder: Path, faces: Faces, holes: MaskSet) -> Pixels:
    """Somebody's completions of one mask set as composites (N, 3, S, S): what is outside the hole is the image.

    Raises:
        UserError: one is missing, can't be read, or has another size.
    """
    completed = faces.read(np.arange(len(faces)))
    for item, (image, mask) in enumerate(zip(completed, holes.masks, strict=True)):
        path = folder / holes.name / _name(item)
        if not path.exists():
            raise UserError(
                f"{path}: no such file; there must be one for each of the {len(faces)} test images, from "
                f"{_name(0)} to {_name(len(faces) - 1)}"
            )
        pixels = np.asarray(read_image(path, "RGB", "save it as PNG"))
        if pixels.shape[:2] != image.shape[1:]:
            raise UserError(
                f"{path}: {pixels.shape[1]}×{pixels.shape[0]} pixels, but the images are {faces.size}×{faces.size}; "
                "scale the system's output to that"
            )
        image[:] = np.where(mask == 1, pixels.transpose(2, 0, 1), image)
    return completed


def check_manifest(folder: Path, ours: pd.DataFrame) -> None:
    """Refuse completions of other holes or images than ours.

    Raises:
        UserError: the manifest beside them names another hash, is none, or is missing.
    """
    path = folder / MANIFEST
    try:
        theirs = pd.read_csv(path, dtype=str).merge(ours.astype(str), on=["split", "mask_set"], suffixes=("", "_here"))
        others = {what: theirs[theirs[key] != theirs[f"{key}_here"]] for what, key in HASHES.items()}
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; copy the one that was exported with the images: it says which holes were completed"
        ) from None
    except (KeyError, ValueError) as error:
        raise UserError(f"{path} is not the manifest that was exported ({error}); copy that one here") from None
    for what, other in others.items():
        if len(other):
            raise UserError(
                f"{path}: made for other {what} of mask set {other['mask_set'].iloc[0]} than these; export them again "
                "and complete those"
            )


def _name(item: int) -> str:
    return f"{item:06d}.png"


def export_test_set(folder: Path) -> None:
    """Write inputs and masks of every mask set that has been scored, and the manifest, for another system to complete.

    Args:
        folder: where to write; it must not exist.

    Raises:
        UserError: it exists, or nothing has been scored.
    """
    if folder.exists():
        raise UserError(f"{folder} exists; name another folder, or remove it")
    manifest = scored_manifest()
    faces = Faces(paths.FACES, "test")
    folder.mkdir(parents=True)
    for name in manifest["mask_set"]:
        export(folder, faces, stored(paths.REPORT.masks, "test", name, faces.size))
    write_csv(folder / MANIFEST, manifest)
    print(f"wrote {len(faces)} images for each of {', '.join(manifest['mask_set'])} to {folder}")


def scored_manifest() -> pd.DataFrame:
    """The rows of reports/masks.csv about the test split.

    Raises:
        UserError: there is none, or it is not that of the stored holes and the present images.
    """
    if not paths.REPORT.manifest.exists():
        raise UserError(f"{paths.REPORT.manifest}: no such file; run `dvc repro` first")
    manifest = pd.read_csv(paths.REPORT.manifest)
    manifest = manifest[manifest["split"] == "test"].reset_index(drop=True)
    faces = Faces(paths.FACES, "test")
    for row in manifest.itertuples():
        holes = stored(paths.REPORT.masks, "test", str(row.mask_set), faces.size)
        if (holes.sha256, faces.summary["sha256"]) != (row.sha256, row.faces_sha256):
            raise UserError(
                f"{paths.REPORT.manifest}: names other holes or images than {paths.REPORT.masks} and {paths.FACES} "
                "have; run `dvc repro` to make them of one piece"
            )
    return manifest


def score_system(folder: Path, name: str) -> None:
    """Score another system's completions beside our methods, on the same holes.

    Prints all methods' scores with intervals; writes scores, methods, intervals and differences to the folder.

    Args:
        folder: its completions: <mask set>/000000.png and so on, and the manifest.
        name: what the system is called in the tables.

    Raises:
        UserError: the name is one of ours, something is missing, or the completions are of other holes.
    """
    if name in METHODS:
        raise UserError(f"{name}: one of our methods is called so; choose another name")
    if not paths.REPORT.scores.exists():
        raise UserError(f"{paths.REPORT.scores}: no such file; run `dvc repro` or `dvc pull` first")
    params = load(paths.PARAMS)
    manifest = scored_manifest()
    sets = [mask_set for mask_set in manifest["mask_set"] if (folder / mask_set).is_dir()]
    if not sets:
        raise UserError(
            f"{folder}: has none of the folders {', '.join(manifest['mask_set'])}; `glcic export-test-set` shows how"
        )
    check_manifest(folder, manifest)
    faces = Faces(paths.FACES, "test")
    found = []
    with Evaluation(
        Methods({}), batch=params.evaluate.batch, processes=params.runtime.threads, extra=params.evaluate.extra
    ) as evaluation:
        for mask_set in sets:
            holes = stored(paths.REPORT.masks, "test", mask_set, faces.size)
            found.append(evaluation.scores(faces, holes, given={name: completions(folder, faces, holes)}))
    theirs = pd.concat([scores for scores, _ in found], ignore_index=True).replace([np.inf, -np.inf], np.nan)
    ours = pd.read_csv(paths.REPORT.scores)
    ours = ours[(ours["split"] == "test") & ours["mask_set"].isin(sets)]
    together = pd.concat([ours, theirs], ignore_index=True)[[name for name in theirs.columns if name in ours.columns]]
    bootstrap = Bootstrap(params.report.resamples, params.report.confidence, params.seed)
    sure, paired = intervals(together, bootstrap), differences(together, name, bootstrap)
    for table, file in ((theirs, "scores.csv"), (sure, "intervals.csv"), (paired, "differences.csv")):
        write_csv(folder / file, table, float_format="%.6g")
    reported = read_methods(paths.REPORT.methods.read_text(encoding="utf-8"))
    means = means_of(found)
    methods = {mask_set: _with_all_metrics(reported[mask_set] | means[mask_set]) for mask_set in sets}
    write_text(folder / "methods.csv", write_methods(methods))
    for mask_set, row in manifest.set_index("mask_set").loc[sets].iterrows():
        _print(str(mask_set), str(row["sha256"]), Scored(methods, sure), paired)
    print(
        f"\nwrote scores.csv, methods.csv, intervals.csv and differences.csv to {folder}, for the holes of {MANIFEST}"
    )


def _with_all_metrics(methods: Mapping[str, Scores]) -> dict[str, Scores]:
    """Undefined where somebody was not scored with a metric that others have."""
    metrics = [metric for metric in ALL if any(metric in scores for scores in methods.values())]
    return {name: {metric: scores.get(metric) for metric in metrics} for name, scores in methods.items()}


def _print(mask_set: str, sha256: str, scored: Scored, paired: pd.DataFrame) -> None:
    titles = [ALL[metric].title for metric in scored.metrics]
    print(f"\n{mask_set}, test split, mean [interval]; SHA-256 of the holes: {sha256}\n")
    rows = [texts(row, range(len(titles))) for row in scores(scored, mask_set)]
    print(f"{markdown(['method', *titles], rows)}\n")
    own = paired[(paired["mask_set"] == mask_set) & (paired["metric"] == "psnr")]
    for one in records(own):
        said = in_words(one.low, one.high, ALL["psnr"].higher, one.method, method_title(one.other))
        print(f"PSNR: {said} ({change(one, ALL['psnr'].digits)} dB, paired)")
