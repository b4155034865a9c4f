"""Color profiles (ICC): from an image's own colors to sRGB, which networks see, and back."""

import io
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

NEAR = 2  # of 255: a profile that moves no color further is sRGB, and its pixels are left alone
SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}  # Pillow's modes, and the color spaces of their profiles
LAB = b"Lab"  # in place of a profile: images in mode LAB need none


def fault(mode: str, profile: bytes) -> str | None:
    """What is wrong with the profile of an image in `mode` (RGB, L or CMYK); None if nothing is."""
    from PIL import ImageCms

    try:
        space = _opened(profile).profile.xcolor_space
        if space != SPACES[mode] and (mode, space) != ("L", "RGB "):
            return f"a color profile for {space.strip()}"
        to_srgb(Image.new(mode, (1, 1)), profile)
    except (OSError, ImageCms.PyCMSError):
        return "a color profile that cannot be read"
    return None


@lru_cache(maxsize=16)
def is_srgb(profile: bytes) -> bool:
    """Whether a readable profile is for RGB and leaves all colors where they are, to within `NEAR` of 255."""
    if not is_of_rgb(profile):
        return False
    steps = np.linspace(0, 255, 6).round().astype(np.uint8)
    colors = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    moved = np.asarray(to_srgb(Image.fromarray(colors), profile)).astype(int) - colors
    return bool(np.abs(moved).max() <= NEAR)


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert an image in mode RGB, L, CMYK or LAB to sRGB, mode RGB. A gray image may have a profile of RGB."""
    if image.mode == "L" and is_of_rgb(profile):
        image = image.convert("RGB")
    return _converted(image, _transform(profile, None, image.mode, "RGB"))


def from_srgb(image: Image.Image, profile: bytes, mode: str) -> Image.Image:
    """Convert an image in sRGB, mode RGB, to `mode` (RGB, L, CMYK or LAB) with the given profile."""
    if mode == "L" and is_of_rgb(profile):
        return from_srgb(image, profile, "RGB").convert("L")
    return _converted(image, _transform(None, profile, "RGB", mode))


def _converted(image: Image.Image, transform: Any) -> Image.Image:
    from PIL import ImageCms

    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # it is where the image is not changed in place
    return converted


@lru_cache(maxsize=16)
def _transform(source: bytes | None, target: bytes | None, before: str, after: str) -> Any:
    """A transform between two profiles, None being sRGB: perceptual, as viewers show photos."""
    from PIL import ImageCms

    return ImageCms.buildTransform(_opened(source), _opened(target), before, after)


def _opened(profile: bytes | None) -> Any:
    from PIL import ImageCms

    if profile is None:
        return ImageCms.createProfile("sRGB")
    return ImageCms.createProfile("LAB") if profile == LAB else ImageCms.ImageCmsProfile(io.BytesIO(profile))


def is_of_rgb(profile: bytes) -> bool:
    """Whether a readable profile is for colors, not for gray or inks."""
    return profile != LAB and _opened(profile).profile.xcolor_space == "RGB "
