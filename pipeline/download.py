"""Stage 1: get the images from the chosen source, in CelebA's layout."""

from dataclasses import asdict
from typing import Any

from glcic import paths
from glcic.data.sources import celeba_layout as layout
from glcic.data.sources.celeba import fetch_celeba
from glcic.data.sources.image_folder import gather_images
from glcic.data.sources.record import write_record
from glcic.data.sources.synthetic import write_synthetic
from glcic.errors import UserError
from glcic.files import sha256_of
from glcic.params import Params
from pipeline import stage


def main(params: Params) -> None:
    """Write data/raw: one zip of images, a partition file, if known an identity file, and what they were made of."""
    # DVC leaves the files of an earlier run here (`persist` in dvc.yaml), perhaps as links into its cache.
    paths.RAW.mkdir(parents=True, exist_ok=True)
    for path in paths.RAW.iterdir():
        path.unlink()
    take = {"synthetic": _synthetic, "celeba": _celeba, "image_folder": _image_folder}
    write_record(paths.SOURCE, params, take[params.download.source](params))


def _synthetic(params: Params) -> dict[str, Any]:
    counts = params.download.synthetic.model_dump()
    write_synthetic(paths.RAW, **counts, seed=params.seed, processes=params.runtime.num_threads)
    return {}


def _celeba(params: Params) -> dict[str, Any]:
    section = params.download.celeba
    return fetch_celeba(
        paths.RAW,
        local=paths.named("GLCIC_CELEBA", params.runtime.celeba_dir),
        mirrors=section.mirrors,
        subset_md5=section.zip_md5 if section.allow_subset else None,
        cache=paths.STATE_DIR / "downloads",
    )


def _image_folder(params: Params) -> dict[str, Any]:
    own = params.download.image_folder
    source = paths.named("GLCIC_IMAGES", params.runtime.image_folder)
    if source is None:
        raise UserError(
            "download.source is image_folder, but no folder or zip is named: set the environment variable "
            "GLCIC_IMAGES or runtime.image_folder"
        )
    split_file = paths.given(own.split_file) if own.split_file else None
    # Before the file is read: if it changes meanwhile, the next comparison finds that.
    made_of: dict[str, Any] = {"split_file": sha256_of(split_file) if split_file and split_file.exists() else None}
    made_of["images"] = asdict(
        gather_images(
            paths.RAW,
            source=source,
            split_ratios=(own.split_ratios[0], own.split_ratios[1], own.split_ratios[2]),
            split_file=split_file,
            seed=params.seed,
            digest=own.zip_md5,
        )
    )
    md5 = layout.md5_of(paths.RAW / layout.IMAGES)
    print(
        f"{source}: MD5 of the packed images is {md5}; set download.image_folder.zip_md5 to it to make "
        "sure that they stay the same"
    )
    return made_of


if __name__ == "__main__":
    stage.run("download", main)
