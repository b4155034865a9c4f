"""Files by which somebody else's system is scored with our holes: what it is given, and what it gives back.

A folder has one subfolder per mask set. In an exported one, <mask set>/input/000000.png is the first image of the test
split with its hole white, <mask set>/mask/000000.png is white in the hole; the ground truth is not in it. In a folder
of completions, <mask set>/000000.png is the first image completed. The manifest lies in both.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from glcic.data.faces import Faces
from glcic.errors import UserError
from glcic.evaluation.mask_sets import MaskSet, in_white
from glcic.masks.geometry import Pixels

MANIFEST = "manifest.csv"
HASHES = {"holes": "sha256", "images": "faces_sha256"}  # its columns


def export(folder: Path, faces: Faces, holes: MaskSet) -> None:
    """Write inputs and masks of one mask set, and nothing of what is under the holes."""
    for kind in ("input", "mask"):
        (folder / holes.name / kind).mkdir(parents=True, exist_ok=True)
    for item in tqdm(range(len(faces)), desc=f"export {holes.name}", unit=" images", disable=None):
        mask = holes.masks[item]
        image = in_white(faces.read(np.array([item]))[0], mask)
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / holes.name / "input" / _name(item))
        Image.fromarray(mask[0] * np.uint8(255)).save(folder / holes.name / "mask" / _name(item))


def completions(folder: Path, faces: Faces, holes: MaskSet) -> Pixels:
    """Somebody's completions of one mask set as composites (N, 3, S, S): what is outside the hole is the image.

    Raises:
        UserError: one is missing, can't be read, or has another size.
    """
    completed = faces.read(np.arange(len(faces)))
    for item, (image, mask) in enumerate(zip(completed, holes.masks, strict=True)):
        path = folder / holes.name / _name(item)
        try:
            pixels = np.asarray(Image.open(path).convert("RGB"))
        except FileNotFoundError:
            raise UserError(
                f"{path}: no such file; there must be one for each of the {len(faces)} test images, from "
                f"{_name(0)} to {_name(len(faces) - 1)}"
            ) from None
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise UserError(f"{path}: not an image that can be read ({error}); save it as PNG") from None
        if pixels.shape[:2] != image.shape[1:]:
            raise UserError(
                f"{path}: {pixels.shape[1]}×{pixels.shape[0]} pixels, but the images are {faces.size}×{faces.size}; "
                "scale the system's output to that"
            )
        image[:] = np.where(mask == 1, pixels.transpose(2, 0, 1), image)
    return completed


def check_manifest(folder: Path, ours: pd.DataFrame) -> None:
    """Refuse completions of other holes or images than ours.

    Raises:
        UserError: the manifest beside them names another hash, is none, or is missing.
    """
    path = folder / MANIFEST
    try:
        theirs = pd.read_csv(path, dtype=str).merge(ours.astype(str), on=["split", "mask_set"], suffixes=("", "_here"))
        others = {what: theirs[theirs[key] != theirs[f"{key}_here"]] for what, key in HASHES.items()}
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; copy the one that was exported with the images: it says which holes were completed"
        ) from None
    except (KeyError, ValueError) as error:
        raise UserError(f"{path} is not the manifest that was exported ({error}); copy that one here") from None
    for what, other in others.items():
        if len(other):
            raise UserError(
                f"{path}: made for other {what} of mask set {other['mask_set'].iloc[0]} than these; export them again "
                "and complete those"
            )


def _name(item: int) -> str:
    return f"{item:06d}.png"
