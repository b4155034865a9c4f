"""Write the test images with their holes, for somebody else's system to complete. `glcic export` does so."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from glcic import paths
from glcic.data.faces import Faces
from glcic.errors import UserError
from glcic.evaluation.mask_sets import stored
from glcic.experiments.exchange import MANIFEST, export
from pipeline import stage as _stage


def main(folder: Annotated[Path, typer.Argument(help="where to write; it must not exist")]) -> None:
    """Write inputs and masks of every mask set that has been scored, and the manifest."""
    _stage.with_errors_explained(lambda: _export(folder))


def _export(folder: Path) -> None:
    if folder.exists():
        raise UserError(f"{folder} exists; name another folder, or remove it")
    manifest = test_manifest()
    faces = Faces(paths.FACES, "test")
    folder.mkdir(parents=True)
    for name in manifest["mask_set"]:
        export(folder, faces, stored(paths.REPORT.masks, "test", name, faces.size))
    manifest.to_csv(folder / MANIFEST, index=False, lineterminator="\n")
    print(f"wrote {len(faces)} images for each of {', '.join(manifest['mask_set'])} to {folder}")


def test_manifest() -> pd.DataFrame:
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


if __name__ == "__main__":
    typer.run(main)
