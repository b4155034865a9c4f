"""Stage 1: obtain images, whatever the source, in CelebA's own layout."""

import os
from pathlib import Path

from glcic import paths
from glcic.data.sources import raw
from glcic.data.sources.celeba import fetch_celeba
from glcic.data.sources.images import gather_images
from glcic.data.sources.synthetic import write_synthetic
from glcic.errors import UserError
from glcic.params import Params
from pipeline import stage


def main(params: Params) -> None:
    """Write data/raw: one zip of images, a partition file and, where there is one, an identity file."""
    section, runtime = params.download, params.runtime
    paths.RAW.mkdir(parents=True, exist_ok=True)
    if section.source == "synthetic":
        counts = section.synthetic.model_dump()
        write_synthetic(paths.RAW, **counts, seed=params.seed, processes=runtime.threads)
    elif section.source == "celeba":
        local = os.environ.get("GLCIC_CELEBA") or runtime.celeba
        fetch_celeba(
            paths.RAW,
            local=Path(local) if local else None,
            mirrors=section.celeba.mirrors,
            partial_md5=section.celeba.zip_md5 if section.celeba.partial else None,
            cache=paths.SCRATCH / "downloads",
        )
    else:
        source = os.environ.get("GLCIC_IMAGES") or runtime.images
        if not source:
            raise UserError(
                "download.source is images, but no folder or zip is named: set the environment variable "
                "GLCIC_IMAGES or runtime.images"
            )
        gather_images(
            paths.RAW,
            source=Path(source),
            ratios=(section.images.ratios[0], section.images.ratios[1], section.images.ratios[2]),
            partition=Path(section.images.partition) if section.images.partition else None,
            seed=params.seed,
            digest=section.images.zip_md5,
        )
        md5 = raw.md5_of(paths.RAW / raw.IMAGES)
        print(f"{source}: MD5 of the packed images is {md5}; as download.images.zip_md5 it makes sure of the same data")


if __name__ == "__main__":
    stage.run("download", main)
