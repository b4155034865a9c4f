"""Whatever an image holds, the reader gives what a viewer shows, in 8-bit sRGB; what it cannot give, it refuses."""

import ast
import io
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps

from glcic.data.crop import crop_all, crop_image
from glcic.data.sources import celeba_layout as layout
from glcic.errors import UserError
from glcic.images.reader import decode, gray, of_image, pixels, read, rgb
from support.pictures import cmyk_profile, encoded, gray_profile, png16, rgb_profile, smooth
from support.project import ROOT

COLORS = smooth()
PLAIN = Image.fromarray(COLORS)
GRAY = np.asarray(PLAIN.convert("L"))
IN_GRAY = np.dstack([GRAY] * 3)
DEEP = COLORS.astype(np.uint16) * 257
DEEP[:, :, 1] += 100  # less than half a level of 255, though the upper 8 bits may be those of the next level
DEEP = np.maximum(DEEP, 128) - np.uint16(128)  # likewise, of the level before
CLEAR = np.zeros(GRAY.shape, np.uint8)  # alpha of an image whose left part is hidden
CLEAR[:, 20:] = 255
ON_WHITE = np.where(CLEAR[..., None] == 255, COLORS, 255)


def seen(data: bytes) -> np.ndarray:
    return pixels(decode(data)).transpose(1, 2, 0)


def gray16(mode: str = "I;16") -> Image.Image:
    values = GRAY.astype(np.uint16) * 257
    return Image.frombytes("I;16", PLAIN.size, values.tobytes()) if mode == "I;16" else Image.fromarray(values * 1)


def keyed() -> bytes:
    """A palette whose entry 0 is transparent, as in a GIF."""
    image = Image.frombytes("P", PLAIN.size, np.where(CLEAR == 255, 1, 0).astype(np.uint8).tobytes())
    image.putpalette([9, 9, 9, 200, 30, 60])
    return encoded(image, transparency=0)


def tiff16(channels: int) -> bytes:
    own = DEEP[..., ::-1]
    return cv2.imencode(".tiff", own if channels == 3 else np.dstack([own, CLEAR16]))[1].tobytes()


CLEAR16 = CLEAR.astype(np.uint16) * 257
EXACT: dict[str, tuple[Callable[[], bytes], np.ndarray]] = {
    "RGB": (lambda: encoded(PLAIN), COLORS),
    "WebP": (lambda: encoded(PLAIN, "WEBP", lossless=True), COLORS),
    "BMP": (lambda: encoded(PLAIN, "BMP"), COLORS),
    "L": (lambda: encoded(PLAIN.convert("L")), IN_GRAY),
    "1": (lambda: encoded(Image.fromarray(GRAY >= 128)), np.where(IN_GRAY >= 128, 255, 0)),
    "16-bit gray PNG": (lambda: encoded(gray16()), IN_GRAY),
    "16-bit gray TIFF": (lambda: encoded(gray16(), "TIFF"), IN_GRAY),
    "32-bit TIFF": (lambda: encoded(Image.fromarray(GRAY.astype(np.int32) * 257), "TIFF"), IN_GRAY),
    "float TIFF": (lambda: encoded(Image.fromarray(GRAY.astype(np.float32) / 255), "TIFF"), IN_GRAY),
    "16-bit RGB PNG": (lambda: png16(DEEP), COLORS),
    "16-bit RGBA PNG": (lambda: png16(np.dstack([DEEP, CLEAR16])), ON_WHITE),
    "16-bit gray and alpha PNG": (
        lambda: png16(np.dstack([DEEP[..., 0], CLEAR16])),
        np.where(CLEAR[..., None] == 255, COLORS[..., :1].repeat(3, 2), 255),
    ),
    "16-bit RGB TIFF": (lambda: tiff16(3), COLORS),
    "16-bit RGBA TIFF": (lambda: tiff16(4), ON_WHITE),
    "RGBA": (lambda: encoded(Image.fromarray(np.dstack([COLORS, CLEAR]))), ON_WHITE),
    "LA": (
        lambda: encoded(Image.fromarray(np.dstack([GRAY, CLEAR]))),
        np.where(CLEAR[..., None] == 255, IN_GRAY, 255),
    ),
    "palette with a transparent entry": (
        keyed,
        np.where(CLEAR[..., None] == 255, np.array([200, 30, 60], np.uint8), 255),
    ),
}


@pytest.mark.parametrize("name", EXACT)
def test_what_networks_see_of_lossless_files(name: str) -> None:
    make, expected = EXACT[name]
    assert np.array_equal(seen(make()), expected)


@pytest.mark.parametrize(
    ("make", "most"),
    [
        (lambda: encoded(PLAIN.convert("YCbCr"), "TIFF"), 3),
        (lambda: encoded(PLAIN.convert("CMYK"), "TIFF"), 1),
        (lambda: encoded(PLAIN.convert("CMYK"), "JPEG", quality=100, subsampling=0), 6),
        (lambda: encoded(in_lab(), "TIFF"), 16),  # few steps in dark colors
        (lambda: encoded(PLAIN, "AVIF", quality=100, subsampling="4:4:4"), 4),
    ],
    ids=["YCbCr", "CMYK", "CMYK JPEG", "LAB", "AVIF"],
)
def test_what_networks_see_of_other_color_spaces(make: Callable[[], bytes], most: int) -> None:
    assert np.abs(seen(make()).astype(int) - COLORS).max() <= most


def in_lab() -> Image.Image:
    lab = ImageCms.profileToProfile(
        PLAIN, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    return lab


def test_an_ordinary_image_is_its_decoded_pixels(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for data in (encoded(PLAIN, "JPEG", quality=60), encoded(PLAIN, "JPEG", exif=exif), encoded(PLAIN, "WEBP")):
        plain = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        assert np.array_equal(seen(data), np.asarray(plain))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("make", [encoded, None], ids=["8 bits", "16 bits"])
def test_images_are_turned_as_a_viewer_turns_them(orientation: int, make: Callable[..., bytes] | None) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(PLAIN, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if make is None:
        data = png16(DEEP, eXIf=exif.tobytes()[6:])
    assert np.array_equal(seen(data), np.asarray(expected))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_tiff_of_16_bits(orientation: int) -> None:
    """Its decoder is another than Pillow's, whose upper 8 bits show which way is up."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    small = encoded(PLAIN, "TIFF", exif=exif, compression="tiff_lzw")
    tifffile = pytest.importorskip("tifffile")
    file = io.BytesIO()
    tifffile.imwrite(file, DEEP, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    assert np.array_equal(seen(file.getvalue()), seen(small))


def test_colors_are_those_of_the_profile() -> None:
    """Display P3's red is more than sRGB has; its gray is the same. CMYK and gray profiles apply as well."""
    own = Image.new("RGB", (2, 1), (255, 0, 0))
    own.putpixel((1, 0), (128, 128, 128))
    found = seen(encoded(own, icc_profile=rgb_profile()))
    assert found[0, 0].tolist() == [255, 0, 0]  # out of range: clipped
    assert np.abs(found[0, 1].astype(int) - 128).max() <= 1  # the curves differ a little
    muted = seen(encoded(Image.new("RGB", (1, 1), (200, 100, 100)), icc_profile=rgb_profile()))[0, 0].astype(int)
    assert np.abs(muted - [214, 95, 97]).max() <= 2  # as any color calculator says
    assert seen(encoded(Image.new("L", (1, 1), 128), icc_profile=gray_profile(1.0)))[0, 0, 0] == 188  # linear light
    of_inks = seen(encoded(Image.new("CMYK", (1, 1), (0, 0, 0, 255)), "TIFF", icc_profile=cmyk_profile()))[0, 0]
    assert of_inks.max() < 40


def test_profiles_that_are_srgb_change_nothing() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(seen(encoded(PLAIN, icc_profile=srgb)), COLORS)
    assert np.array_equal(seen(encoded(PLAIN.convert("L"), icc_profile=srgb)), IN_GRAY)


@pytest.mark.parametrize(
    ("profile", "complaint"), [(b"junk", "cannot be read"), (cmyk_profile(), "a color profile for CMYK")]
)
def test_a_profile_that_does_not_apply_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], profile: bytes, complaint: str
) -> None:
    (tmp_path / "a.png").write_bytes(encoded(PLAIN, icc_profile=profile))
    assert np.array_equal(np.asarray(rgb(read(tmp_path / "a.png", ""))), COLORS)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"note: {tmp_path / 'a.png'}: ")
    assert complaint in line


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_frames_the_first_is_used_and_that_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    path = tmp_path / "film"
    first, second = (Image.new("RGB", (8, 6), color) for color in ("white", "black"))
    options = {"lossless": True} if kind == "WEBP" else {}
    first.save(path, kind, save_all=True, append_images=[second], **options)
    assert (pixels(read(path, "")) == 255).all()
    assert capsys.readouterr().err == f"note: {path}: several pictures in one file, of which the first is used\n"


def tiff(values: np.ndarray, **options: Any) -> bytes:
    """A TIFF of a kind that Pillow does not write."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: encoded(Image.fromarray(GRAY.astype(np.float32)), "TIFF"), r"floats from .* to 2.*, not from 0 to 1"),
        (lambda: encoded(Image.fromarray(np.full((2, 2), np.nan, np.float32)), "TIFF"), "floats from nan"),
        (lambda: encoded(Image.fromarray(np.full((2, 2), 70000, np.int32)), "TIFF"), "integers of 32 bits"),
        (lambda: tiff(np.zeros((3, 8, 8), np.uint16), photometric="rgb", planarconfig="separate"), "separate planes"),
        (lambda: tiff(np.full((8, 8), -9, np.int8)), "signed values"),
        (lambda: encoded(PLAIN, "PPM"), "cannot identify"),
        (lambda: b"\0\0\0\x18ftypheic" + bytes(40), "pip install pillow-heif"),
        (lambda: encoded(PLAIN)[:400], "truncated|broken"),
    ],
    ids=["float", "NaN", "32 bits", "planes", "signed", "another format", "HEIC", "cut off"],
)
def test_what_cannot_be_read_is_refused_with_a_remedy(
    tmp_path: Path, make: Callable[[], bytes], complaint: str
) -> None:
    (tmp_path / "a").write_bytes(make())
    with pytest.raises(UserError, match=rf"/a: not an image that can be read \(.*({complaint}).*\); save it"):
        read(tmp_path / "a", "save it as PNG")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"photo\.png: no such file"):
        read(tmp_path / "photo.png", "save it as PNG")


def test_heic_is_read_where_its_package_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package registers a reader with Pillow; in this one, every file has the same pixels."""
    package = ModuleType("pillow_heif")

    def opener(*_: object) -> Any:
        return PLAIN.copy()

    package.register_heif_opener = lambda: Image.register_open("HEIF", opener)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pillow_heif", package)
    try:
        assert np.array_equal(seen(b"\0\0\0\x18ftypheic" + bytes(40)), COLORS)
    finally:
        Image.OPEN.pop("HEIF", None)
        Image.ID.remove("HEIF")


def test_images_in_memory_follow_the_same_rules() -> None:
    assert np.array_equal(np.asarray(rgb(of_image(gray16()))), IN_GRAY)
    assert np.array_equal(np.asarray(rgb(of_image(Image.open(io.BytesIO(EXACT["RGBA"][0]()))))), ON_WHITE)
    with pytest.raises(ValueError, match="mode HSV"):
        of_image(PLAIN.convert("HSV"))
    assert of_image(Image.open(io.BytesIO(png16(DEEP)))).notes == ("16 bits a channel, of which Pillow keeps 8",)


def test_crops_of_deep_hidden_and_profiled_images_are_right() -> None:
    """A 16-bit image gives the crop of its 8-bit original; hidden colors do not enter; profiles apply."""
    expected = crop_image(encoded(PLAIN.convert("L")), 16, None)
    assert np.array_equal(crop_image(encoded(gray16()), 16, None), expected)
    assert np.array_equal(crop_image(png16(DEEP), 16, None), crop_image(encoded(PLAIN), 16, None))
    hidden = np.dstack([COLORS, np.zeros_like(GRAY)])
    assert (crop_image(encoded(Image.fromarray(hidden)), 16, None) == 255).all()
    wide = crop_image(encoded(PLAIN, icc_profile=rgb_profile()), 16, None)
    assert np.abs(wide.astype(int) - crop_image(encoded(PLAIN), 16, None)).mean() > 3


def test_crop_tells_how_many_images_it_did_not_use_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film = encoded(PLAIN, "GIF", save_all=True, append_images=[Image.new("RGB", PLAIN.size)])
    with zipfile.ZipFile(tmp_path / layout.IMAGES, "w") as archive:
        for number, data in enumerate([encoded(PLAIN), film, film, encoded(PLAIN)]):
            archive.writestr(f"{number}.png", data)
    rows = "".join(f"{number}.png {split}\n" for number, split in enumerate([0, 0, 1, 2]))
    (tmp_path / layout.PARTITION).write_text(rows)
    crop_all(tmp_path, tmp_path / "o", image_size=8, center_crop=None, max_skipped_fraction=0, processes=1)
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note")]
    assert notes == ["note: 2 of 4 images, 1.png the first: several pictures in one file, of which the first is used"]


def test_levels_of_masks() -> None:
    """No profile moves them, what is transparent is black, and deep masks are scaled."""
    hole = np.where(CLEAR == 255, 255, 0).astype(np.uint8)
    white = np.full_like(GRAY, 255)
    for image in (
        Image.fromarray(np.dstack([white, CLEAR])),
        Image.fromarray(np.dstack([white, white, white, CLEAR])),
        Image.fromarray(hole > 0),
        Image.fromarray(hole.astype(np.uint16) * 257),
        Image.fromarray(hole.astype(np.float32) / 255),
    ):
        assert np.array_equal(gray(of_image(image)), hole), image.mode
    assert np.array_equal(gray(of_image(Image.fromarray((hole > 0).astype(np.uint16)))), hole > 0)
    marked = encoded(Image.fromarray(GRAY), icc_profile=gray_profile(1.0))
    assert np.array_equal(gray(decode(marked)), GRAY)


def test_no_other_code_decodes_or_converts_images() -> None:
    for folder in ("src", "pipeline"):
        for file in (ROOT / folder).rglob("*.py"):
            if file.is_relative_to(ROOT / "src/glcic/images"):
                continue
            calls = {
                ast.unparse(node.func)
                for node in ast.walk(ast.parse(file.read_text()))
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            }
            wrong = {
                call for call in calls if call.endswith(("Image.open", ".convert", ".exif_transpose", ".imdecode"))
            }
            assert not wrong, file
