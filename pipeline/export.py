"""Write the test images with their holes, for somebody else's system to complete. `glcic export` does so."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from glcic.data.faces import Faces
from glcic.errors import UserError
from glcic.evaluation.exchange import MANIFEST, export
from glcic.evaluation.mask_sets import stored
from pipeline import _reports, _stage


def main(folder: Annotated[Path, typer.Argument(help="where to write; it must not exist")]) -> None:
    """Write inputs and masks of every mask set that has been scored, and the manifest."""
    _stage.with_errors_explained(lambda: _export(folder))


def _export(folder: Path) -> None:
    if folder.exists():
        raise UserError(f"{folder} exists; name another folder, or remove it")
    manifest = test_manifest()
    faces = Faces(_stage.FACES, "test")
    folder.mkdir(parents=True)
    for name in manifest["mask_set"]:
        export(folder, faces, stored(_reports.HOLES, "test", name, faces.size))
    manifest.to_csv(folder / MANIFEST, index=False, lineterminator="\n")
    print(f"wrote {len(faces)} images for each of {', '.join(manifest['mask_set'])} to {folder}")


def test_manifest() -> pd.DataFrame:
    """The rows of reports/masks.csv about the test split.

    Raises:
        UserError: there is none, or it is not that of the stored holes and the present images.
    """
    if not _reports.MASKS.exists():
        raise UserError(f"{_reports.MASKS}: no such file; run `dvc repro` first")
    manifest = pd.read_csv(_reports.MASKS)
    manifest = manifest[manifest["split"] == "test"].reset_index(drop=True)
    faces = Faces(_stage.FACES, "test")
    for row in manifest.itertuples():
        holes = stored(_reports.HOLES, "test", str(row.mask_set), faces.size)
        if (holes.sha256, faces.summary["sha256"]) != (row.sha256, row.faces_sha256):
            raise UserError(
                f"{_reports.MASKS}: names other holes or images than {_reports.HOLES} and {_stage.FACES} have; run "
                "`dvc repro` to make them of one piece"
            )
    return manifest


if __name__ == "__main__":
    typer.run(main)
