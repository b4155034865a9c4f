"""Give the best registered model the alias `champion` in MLflow. `make champion` does so.

Best is the highest PSNR on the validation split, mean over the mask sets, among models of the present data.
"""

import typer

from glcic import paths
from glcic.data.faces import Faces
from glcic.params import load
from glcic.tracking import choose_champion
from pipeline import stage as _stage


def main() -> None:
    """Choose, and print the candidates."""
    configuration = load(paths.PARAMS).model_dump(mode="json")
    candidates = choose_champion(paths.ROOT, configuration, Faces(paths.FACES, "val").summary)
    print("version  val PSNR dB  row")
    for number, candidate in enumerate(candidates):
        mark = "  ← champion" if number == 0 else ""
        print(f"{candidate.version:>7}  {candidate.psnr:>11.3f}  {candidate.row}{mark}")


if __name__ == "__main__":
    typer.run(lambda: _stage.with_errors_explained(main))
