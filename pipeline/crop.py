"""Stage 2: crop and scale the images, and pack them into one array."""

from glcic import paths
from glcic.data.crop import crop_all
from glcic.params import Params
from pipeline import stage


def main(params: Params) -> None:
    """Write data/images: images.npy, index.csv, skipped.csv, summary.json and SHA256SUMS."""
    crop_all(
        paths.RAW,
        paths.IMAGES,
        image_size=params.crop.image_size,
        center_crop=params.crop.center_crop,
        max_skipped_fraction=params.crop.max_skipped_fraction,
        processes=params.runtime.num_threads,
    )


if __name__ == "__main__":
    stage.run("crop", main)
