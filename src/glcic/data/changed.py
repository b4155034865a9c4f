"""Check of what the user named against what the outputs were made of, since DVC sees only files in the project."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from glcic import paths
from glcic.data.sources.celeba_layout import md5_of
from glcic.data.sources.contents import Contents, contents_of
from glcic.data.sources.memory import listing_of, remembered
from glcic.data.sources.record import TAKE, read_record
from glcic.errors import UserError
from glcic.files import sha256_of
from glcic.params import FileMasks, MaskFolder, Params, WeightsFile, kinds_of


def check_sources(params: Params) -> None:
    """Check that the images and masks named on this machine are those that are in use.

    Where nothing is named, or a split file or mask folder is not on this machine, what is there stays valid: whoever
    pulls results need not own the images. A change that DVC sees, that is of a parameter, is left to DVC. Where several
    processes run a stage, the first one of each machine checks.

    Args:
        params: all parameters.

    Raises:
        UserError: what is named differs, or the images that are named do not exist.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0":
        return
    if params.download.source == "image_folder":
        _check_images(params)
    elif params.download.source == "celeba":
        _check_celeba(params)
    for field, masks in _mask_folders(params):
        _check_masks(field, masks)
    if params.pretrain_generator.init is not None:
        _check_init(params.pretrain_generator.init)


def _check_images(params: Params) -> None:
    source = paths.named("GLCIC_IMAGES", params.runtime.image_folder)
    if source and not source.exists():
        raise UserError(f"{source} does not exist: name a folder or a zip with GLCIC_IMAGES or runtime.image_folder")
    if (record := read_record(paths.SOURCE, params)) is None:
        return
    was = Contents(**record["images"])
    if source and (now := contents_of(source)) != was:
        raise UserError(
            f"{source}: these are not the images that {paths.RAW} was made of (was {was}; is {now}): {TAKE} takes the "
            "new ones; or name the old ones with GLCIC_IMAGES or runtime.image_folder"
        )
    split_file = params.download.image_folder.split_file
    if split_file and (path := paths.given(split_file)).exists() and (found := sha256_of(path)) != record["split_file"]:
        raise UserError(
            f"{path}: this is not the split file that {paths.RAW} was made with (was {record['split_file'][:12]}…; is "
            f"{found[:12]}…): {TAKE} takes the new one; or bring back the old one"
        )


def _check_celeba(params: Params) -> None:
    """Compare CelebA's files in a folder; those that it lacks came from elsewhere."""
    folder = paths.named("GLCIC_CELEBA", params.runtime.celeba_dir)
    if folder is None:
        return
    if not folder.exists():
        raise UserError(f"{folder} does not exist: name a folder with GLCIC_CELEBA or runtime.celeba_dir")
    if (record := read_record(paths.SOURCE, params)) is None:
        return
    for name, was in record["md5"].items():
        path = folder / name
        if not path.is_file():
            continue
        now = remembered(path, "md5", listing_of(path), partial(md5_of, path))
        if now != was and name not in record["missing"]:
            raise UserError(
                f"{path}: this is not the file that {paths.RAW} was made of (MD5 was {was[:12]}…; is {now[:12]}…): "
                "replace it, or name another folder with GLCIC_CELEBA or runtime.celeba_dir"
            )
        if now == was and name in record["missing"]:
            raise UserError(f"{path}: {paths.RAW} was made before this file was there: {TAKE} takes it")


def _mask_folders(params: Params) -> Iterator[tuple[str, MaskFolder]]:
    for k, kind in enumerate(kinds_of(params.masks)):
        if isinstance(kind, FileMasks):
            yield f"masks.{k}.sha256" if isinstance(params.masks, list) else "masks.sha256", kind
    if params.evaluate.mask_folder is not None:
        yield "evaluate.mask_folder.sha256", params.evaluate.mask_folder


def _check_masks(field: str, masks: MaskFolder) -> None:
    """Compare a folder of masks with its SHA-256 in the parameters; a stage that needs one that is missing says so."""
    folder = paths.given(masks.folder)
    if not folder.exists():
        return
    found = remembered(folder, "masks", listing_of(folder, wanted=lambda name: True), partial(_digest, folder))
    if found != masks.sha256:
        raise UserError(f"{folder}: its masks are not those of {field}; if they are meant, set it to {found}")


def _check_init(init: WeightsFile) -> None:
    """Compare the weights that training starts from with their SHA-256; the stage says if they are missing."""
    path = paths.given(init.path)
    if not path.is_file():
        return
    found = remembered(path, "sha256", listing_of(path), partial(sha256_of, path))
    if found != init.sha256:
        raise UserError(f"{path}: not the file of pretrain_generator.init.sha256; if it is meant, set that to {found}")


def _digest(folder: Path) -> str:
    from glcic.masks.files import folder_digest  # loads torch, which takes seconds

    return folder_digest(folder)
