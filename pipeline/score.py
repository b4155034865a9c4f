"""Score a folder of somebody else's completions beside our methods, on the same holes. `glcic score` does so."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from glcic import paths
from glcic.data.faces import Faces
from glcic.errors import UserError
from glcic.evaluation.definitions import ALL, METHODS
from glcic.evaluation.mask_sets import stored
from glcic.evaluation.scorer import Evaluation, Methods
from glcic.evaluation.tables import Scores, means_of, read_methods, write_methods
from glcic.experiments.exchange import MANIFEST, check_manifest, completions
from glcic.params import load
from glcic.report.bootstrap import Bootstrap, differences, in_words, intervals
from glcic.report.contents import Scored, records
from glcic.report.tables import scores
from glcic.report.words import change, method_title
from pipeline import stage as _stage
from pipeline.export import test_manifest


def main(
    folder: Annotated[Path, typer.Argument(help="its completions: <mask set>/000000.png and so on")],
    name: Annotated[str, typer.Argument(help="what the system is called in the tables")],
) -> None:
    """Print all methods' scores with intervals; write scores, methods, intervals and differences to the folder."""
    _stage.with_errors_explained(lambda: _score(folder, name))


def _score(folder: Path, name: str) -> None:
    if name in METHODS:
        raise UserError(f"{name}: one of our methods is called so; choose another name")
    if not paths.REPORT.scores.exists():
        raise UserError(f"{paths.REPORT.scores}: no such file; run `dvc repro` or `dvc pull` first")
    params = load(paths.PARAMS)
    manifest = test_manifest()
    sets = [mask_set for mask_set in manifest["mask_set"] if (folder / mask_set).is_dir()]
    if not sets:
        raise UserError(
            f"{folder}: has none of the folders {', '.join(manifest['mask_set'])}; `glcic export` shows how"
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
        table.to_csv(folder / file, index=False, float_format="%.6g", lineterminator="\n")
    reported = read_methods(paths.REPORT.methods.read_text(encoding="utf-8"))
    means = means_of(found)
    methods = {mask_set: _with_all_metrics(reported[mask_set] | means[mask_set]) for mask_set in sets}
    (folder / "methods.csv").write_text(write_methods(methods), encoding="utf-8")
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
    print("| method | " + " | ".join(titles) + " |\n" + "| --- " * (len(titles) + 1) + "|")
    for row in scores(scored, mask_set):
        cells = [" ".join(part for part in (cell.value, cell.interval) if part) for cell in row.cells]
        print(f"| {row.name} | " + " | ".join(cells) + " |")
    print()
    own = paired[(paired["mask_set"] == mask_set) & (paired["metric"] == "psnr")]
    for one in records(own):
        said = in_words(one.low, one.high, ALL["psnr"].higher, one.method, method_title(one.other))
        print(f"PSNR: {said} ({change(one, ALL['psnr'].digits)} dB, paired)")


if __name__ == "__main__":
    typer.run(main)
