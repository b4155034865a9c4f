"""Stage 2: crop and scale every image and pack all of them into one array."""

from glcic import paths
from glcic.data.crop import crop_all
from glcic.params import Params
from pipeline import stage


def main(params: Params) -> None:
    """Write data/faces: faces.npy, index.csv, refused.csv, summary.json."""
    crop_all(
        paths.RAW,
        paths.FACES,
        size=params.crop.size,
        square=params.crop.square,
        max_refused=params.crop.max_refused,
        processes=params.runtime.threads,
    )


if __name__ == "__main__":
    stage.run("crop", main)
