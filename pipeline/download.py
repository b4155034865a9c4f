"""Stage 1: get the images from the chosen source, in CelebA's layout."""

import os
from pathlib import Path

from glcic import paths
from glcic.data.sources import celeba_layout as layout
from glcic.data.sources.celeba import fetch_celeba
from glcic.data.sources.image_folder import gather_images
from glcic.data.sources.synthetic import write_synthetic
from glcic.errors import UserError
from glcic.params import Params
from pipeline import stage


def main(params: Params) -> None:
    """Write data/raw: one zip of images, a partition file and, if known, an identity file."""
    section, runtime = params.download, params.runtime
    paths.RAW.mkdir(parents=True, exist_ok=True)
    if section.source == "synthetic":
        counts = section.synthetic.model_dump()
        write_synthetic(paths.RAW, **counts, seed=params.seed, processes=runtime.num_threads)
    elif section.source == "celeba":
        local = os.environ.get("GLCIC_CELEBA") or runtime.celeba_dir
        fetch_celeba(
            paths.RAW,
            local=Path(local) if local else None,
            mirrors=section.celeba.mirrors,
            subset_md5=section.celeba.zip_md5 if section.celeba.allow_subset else None,
            cache=paths.STATE_DIR / "downloads",
        )
    else:
        own = section.image_folder
        source = os.environ.get("GLCIC_IMAGES") or runtime.image_folder
        if not source:
            raise UserError(
                "download.source is image_folder, but no folder or zip is named: set the environment variable "
                "GLCIC_IMAGES or runtime.image_folder"
            )
        gather_images(
            paths.RAW,
            source=Path(source),
            split_ratios=(own.split_ratios[0], own.split_ratios[1], own.split_ratios[2]),
            split_file=Path(own.split_file) if own.split_file else None,
            seed=params.seed,
            digest=own.zip_md5,
        )
        md5 = layout.md5_of(paths.RAW / layout.IMAGES)
        print(
            f"{source}: MD5 of the packed images is {md5}; set download.image_folder.zip_md5 to it to make "
            "sure that they stay the same"
        )


if __name__ == "__main__":
    stage.run("download", main)
