"""A completed photo differs from the photo in the hole alone, whatever its mode, depth, profile and format."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from glcic.errors import UserError
from glcic.images.filling import fill
from glcic.images.formats import GIF, JPEG, WRITTEN, adapted, format_of
from glcic.images.reader import Picture, decode, rgb
from glcic.images.writer import write
from support.pictures import cmyk_profile, encoded, gray_profile, png16, rgb_profile, smooth

HEIGHT, WIDTH = 36, 44
RNG = np.random.default_rng(0)
COLORS = smooth(HEIGHT, WIDTH)
NOISE = RNG.integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (HEIGHT, WIDTH, 4), dtype=np.uint16)
COMPLETED = np.full((HEIGHT, WIDTH, 3), (150, 110, 90), np.uint8)
HOLE = np.zeros((HEIGHT, WIDTH), np.uint8)
HOLE[8:20, 10:26] = 1
TEXT = PngImagePlugin.PngInfo()
TEXT.add_text("Title", "Ein Bild")


def of(mode: str, pixels: np.ndarray) -> Image.Image:
    return Image.frombytes(mode, (WIDTH, HEIGHT), np.ascontiguousarray(pixels).tobytes())


def palette(**info: object) -> Image.Image:
    image = of("P", NOISE[..., 0] % 40)
    image.putpalette(RNG.integers(0, 256, 120, dtype=np.uint8).tobytes())
    image.info.update(info)
    return image


def lzw16() -> bytes:
    return cv2.imencode(".tiff", np.ascontiguousarray(DEEP))[1].tobytes()


# Photos of each kind, with noise that no lossy step would leave alone, and colors hidden behind alpha 0.
PHOTOS: dict[str, Callable[[], bytes]] = {
    "1": lambda: encoded(Image.fromarray(NOISE[..., 0] > 127)),
    "L": lambda: encoded(of("L", NOISE[..., 0])),
    "L keyed": lambda: encoded(of("L", NOISE[..., 0]), transparency=107),
    "LA": lambda: encoded(of("LA", NOISE[..., :2])),
    "P": lambda: encoded(palette()),
    "P keyed": lambda: encoded(palette(transparency=3), "GIF", optimize=False),
    "P translucent": lambda: encoded(palette(), transparency=bytes([0, 100, 255, 40])),
    "RGB": lambda: encoded(of("RGB", NOISE[..., :3])),
    "RGB keyed": lambda: encoded(of("RGB", NOISE[..., :3]), transparency=(150, 110, 90)),
    "RGBA": lambda: encoded(of("RGBA", NOISE)),
    "RGBA WebP": lambda: encoded(of("RGBA", NOISE), "WEBP", lossless=True, exact=True),
    "CMYK": lambda: encoded(of("CMYK", NOISE), "TIFF"),
    "YCbCr": lambda: encoded(of("YCbCr", NOISE[..., :3]), "TIFF"),
    "LAB": lambda: encoded(of("LAB", NOISE[..., :3]), "TIFF"),
    "I;16": lambda: encoded(of("I;16", DEEP[..., 0])),
    "I;16 keyed": lambda: encoded(of("I;16", DEEP[..., 0]), transparency=int(DEEP[0, 0, 0])),
    "I;16 TIFF": lambda: encoded(of("I;16", DEEP[..., 0]), "TIFF"),
    "I": lambda: encoded(of("I", DEEP[..., 0].astype(np.int32)), "TIFF"),
    "F": lambda: encoded(of("F", (DEEP[..., 0] / 65535).astype(np.float32)), "TIFF"),
    "LA;16": lambda: png16(DEEP[..., :2]),
    "RGB;16": lambda: png16(DEEP[..., :3]),
    "RGB;16 keyed": lambda: png16(DEEP[..., :3], tRNS=DEEP[0, 0, :3].astype(">u2").tobytes()),
    "RGBA;16": lambda: png16(DEEP),
    "RGBA;16 TIFF": lzw16,
}
LOSSLESS = [suffix for suffix in WRITTEN if suffix not in (".jpg", ".jpeg")]


def rewritten(data: bytes, suffix: str, folder: Path) -> tuple[Picture, Picture, list[str]]:
    """Read a photo, fill the hole, write and read it again."""
    photo, path = decode(data), folder / f"out{suffix}"
    form = format_of(path)
    fitting, said = adapted(photo, form)
    hole = HOLE if photo.image.size == (WIDTH, HEIGHT) else HOLE.T
    completed = COMPLETED if photo.image.size == (WIDTH, HEIGHT) else COMPLETED.swapaxes(0, 1)
    said += write(fill(fitting, completed, hole), form, path)
    return photo, decode(path.read_bytes()), said


def own(picture: Picture) -> np.ndarray:
    """The pixels as the file holds them."""
    return np.asarray(picture.image) if picture.deep is None else picture.deep


def shown(picture: Picture) -> np.ndarray:
    """The pixels as people see them, with alpha."""
    image = picture.image
    return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB").convert("RGBA"))


def fits(photo: Picture, suffix: str) -> bool:
    """Whether a format has the photo's mode."""
    form = WRITTEN[suffix]
    keyed = photo.deep is None and (photo.kind in ("L", "P", "RGB", "I;16")) and photo.image.has_transparency_data
    single = not keyed or form is not GIF or isinstance(photo.image.info["transparency"], int)
    return photo.kind in form.kinds and (not keyed or photo.kind in form.keyed) and single


CASES = [(name, suffix, fits(decode(make()), suffix)) for name, make in PHOTOS.items() for suffix in LOSSLESS]
GRAYS = ("1", "L", "LA", "I;16", "I", "F", "LA;16")


def check_hole(photo: Picture, after: Picture) -> None:
    """The hole is one color, opaque, gray in a gray photo, and that of the completion as far as the photo has it."""
    (found,) = np.unique(np.asarray(rgb(after))[HOLE == 1], axis=0).astype(int)
    if photo.kind != "P":
        expected = 0 if after.kind == "1" else 120 if photo.kind in GRAYS else COMPLETED[0, 0]
        assert np.abs(found - expected).max() <= 2
    if after.deep is None and after.image.has_transparency_data:
        assert (shown(after)[HOLE == 1, 3] == 255).all()


@pytest.mark.parametrize(("name", "suffix"), [case[:2] for case in CASES if case[2]])
def test_where_a_format_has_the_mode_all_outside_the_hole_stays(name: str, suffix: str, tmp_path: Path) -> None:
    before, after, said = rewritten(PHOTOS[name](), suffix, tmp_path)
    assert said == []
    assert (after.image.size, after.kind) == (before.image.size, before.kind)
    assert np.array_equal(own(after)[HOLE == 0], own(before)[HOLE == 0])
    assert not np.array_equal(own(after)[HOLE == 1], own(before)[HOLE == 1])
    assert np.array_equal(np.asarray(rgb(after))[HOLE == 0], np.asarray(rgb(before))[HOLE == 0])
    check_hole(before, after)


REFUSED = ("RGB", "RGBA", "CMYK", "YCbCr", "LAB", "P translucent")  # by GIF


@pytest.mark.parametrize(("name", "suffix"), [case[:2] for case in CASES if not case[2]])
def test_where_a_format_lacks_the_mode_colors_stay_or_what_is_lost_is_told(
    name: str, suffix: str, tmp_path: Path
) -> None:
    if suffix == ".gif" and name.startswith(REFUSED):
        with pytest.raises(ValueError, match="GIF has at most 256 colors"):
            rewritten(PHOTOS[name](), suffix, tmp_path)
        return
    before, after, said = rewritten(PHOTOS[name](), suffix, tmp_path)
    assert after.image.size == before.image.size
    if said:
        difference = np.asarray(rgb(after)).astype(int) - np.asarray(rgb(before))
        assert np.abs(difference[HOLE == 0]).max() <= 1
    else:
        assert np.array_equal(shown(after)[HOLE == 0], shown(before)[HOLE == 0])
    check_hole(before, after)


PROFILES: dict[str, Callable[[], bytes]] = {
    "RGB": rgb_profile,
    "RGBA": rgb_profile,
    "P": rgb_profile,
    "RGB;16": rgb_profile,
    "L": gray_profile,
}
PROFILES |= {"I;16": gray_profile, "CMYK": cmyk_profile}


def with_profile(name: str) -> bytes:
    profile = PROFILES[name]()
    if name == "RGB;16":
        return png16(DEEP[..., :3], iCCP=b"own\0\0" + zlib.compress(profile))
    image = Image.open(io.BytesIO(PHOTOS[name]()))
    return encoded(image, "TIFF" if name == "CMYK" else "PNG", icc_profile=profile)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_stays_and_the_hole_has_its_colors(name: str, suffix: str, tmp_path: Path) -> None:
    data = with_profile(name)
    before, after, said = rewritten(data, suffix, tmp_path)
    seen = np.asarray(rgb(after)).astype(int)
    if after.kind == before.kind or name in ("RGB;16", "P"):
        assert after.image.info["icc_profile"] == PROFILES[name]()
        assert after.profile == before.profile
    if after.kind == before.kind:
        assert said == []
        assert np.array_equal(own(after)[HOLE == 0], own(before)[HOLE == 0])
    difference = np.abs(seen - np.asarray(rgb(before)))
    assert difference[HOLE == 0].max() <= (0 if after.kind == before.kind else 1)
    expected = 120 if before.colorless else COMPLETED[0, 0]
    if name not in ("P", "CMYK"):  # which have their own colors
        assert np.abs(seen[HOLE == 1] - expected).max() <= 2


@pytest.mark.parametrize(("name", "suffix"), [("RGB", ".bmp"), ("L", ".bmp"), ("CMYK", ".png"), ("L", ".webp")])
def test_where_a_profile_cannot_stay_colors_do(name: str, suffix: str, tmp_path: Path) -> None:
    before, after, said = rewritten(with_profile(name), suffix, tmp_path)
    assert len(said) == 1
    assert "sRGB" in said[0]
    assert "icc_profile" not in after.image.info
    assert np.array_equal(np.asarray(rgb(after))[HOLE == 0], np.asarray(rgb(before))[HOLE == 0])


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["RGB", "RGB;16"])
def test_a_turned_photo_is_shown_as_before(name: str, orientation: int, suffix: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Model] = "a camera"
    data = png16(DEEP[..., :3], eXIf=exif.tobytes()[6:])
    if name == "RGB":
        data = encoded(Image.fromarray(COLORS), "PNG", exif=exif)
    before, after, said = rewritten(data, suffix, tmp_path)
    assert after.image.size == before.image.size == ((WIDTH, HEIGHT) if orientation < 5 else (HEIGHT, WIDTH))
    assert after.exif.get(ExifTags.Base.Orientation, 1) == 1
    if suffix != ".jpg":
        outside = (HOLE if orientation < 5 else HOLE.T) == 0
        assert np.array_equal(np.asarray(rgb(after))[outside], np.asarray(rgb(before))[outside])
    if not said:
        assert after.exif[ExifTags.Base.Model] == "a camera"


def camera(**options: object) -> bytes:
    """A JPEG as a camera writes it: turned, with date, place, maker note and a thumbnail."""
    thumbnail = encoded(Image.fromarray(COLORS).resize((16, 12)), "JPEG")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Model] = "a camera"
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.DateTimeOriginal] = "2026:11:29 06:33:12"
    details[ExifTags.Base.MakerNote] = b"its own " + thumbnail
    details[ExifTags.Base.ExifImageWidth], details[ExifTags.Base.ExifImageHeight] = WIDTH, HEIGHT
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    # The directory of the thumbnail, which Pillow does not write, follows the main one.
    plain = exif.tobytes()
    start = 8
    order = "<" if plain[6:8] == b"II" else ">"
    (count,) = struct.unpack_from(f"{order}H", plain, 6 + start)
    link = 6 + start + 2 + 12 * count
    second = len(plain) - 6
    directory = struct.pack(f"{order}HHHII", 2, 0x0201, 4, 1, second + 30)
    directory += struct.pack(f"{order}HHIII", 0x0202, 4, 1, len(thumbnail), 0)
    raw = plain[:link] + struct.pack(f"{order}I", second) + plain[link + 4 :] + directory + thumbnail
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6" dc:title="Bild"/></x:xmpmeta>'
    return encoded(Image.fromarray(COLORS), "JPEG", exif=raw, xmp=xmp, dpi=(300, 300), **options)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_metadata_come_back_but_for_what_shows_the_hole(suffix: str, tmp_path: Path) -> None:
    data = camera()
    original = Image.open(io.BytesIO(data)).getexif()
    assert original.get_ifd(ExifTags.IFD.IFD1)[0x0202] > 100  # the thumbnail is there
    _, after, said = rewritten(data, suffix, tmp_path)
    written = (tmp_path / f"out{suffix}").read_bytes()
    exif = after.exif
    assert said == ["the maker note"]
    assert exif[ExifTags.Base.Model] == "a camera"
    assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] == "2026:11:29 06:33:12"
    assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExifImageWidth] == HEIGHT
    assert exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"
    assert not exif.get_ifd(ExifTags.IFD.IFD1)
    assert ExifTags.Base.MakerNote not in exif.get_ifd(ExifTags.IFD.Exif)
    assert written.count(b"\xff\xd8\xff") == (suffix == ".jpg")  # no JPEG but the file itself
    xmp = after.image.info["xmp"]
    assert b'dc:title="Bild"' in xmp
    assert b"Orientation" not in xmp
    if suffix != ".webp":
        assert np.allclose(after.image.info["dpi"], 300, atol=0.1)


def test_what_is_lost_is_told(tmp_path: Path) -> None:
    losses = {
        ("camera", ".bmp"): ["the maker note", "EXIF data", "XMP data"],
        ("RGBA;16", ".jpg"): ["16 bits a channel (8 are written)", "transparency (white is put under it)"],
        ("text", ".jpg"): ["text"],
        ("thumbnail in XMP", ".png"): ["XMP data with a picture in them"],
        ("F", ".png"): ["floating-point values"],
        ("CMYK", ".png"): ["its colors in CMYK (sRGB is written)"],
    }
    made = {
        "camera": camera,
        "text": lambda: encoded(Image.fromarray(COLORS), pnginfo=TEXT),
        "thumbnail in XMP": lambda: encoded(Image.fromarray(COLORS), "JPEG", xmp=b"<xmp:Thumbnails>abc"),
        **PHOTOS,
    }
    for (name, suffix), expected in losses.items():
        assert rewritten(made[name](), suffix, tmp_path)[2] == expected


def test_text_and_gamma_of_a_png_stay(tmp_path: Path) -> None:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("Title", "Ein Bild")
    chunks.add_text("Raw profile type exif", "0")
    chunks.add(b"gAMA", struct.pack(">I", 45455))
    _, after, said = rewritten(encoded(Image.fromarray(COLORS), pnginfo=chunks), ".png", tmp_path)
    assert said == []
    assert after.text == {"Title": "Ein Bild"}
    assert after.image.info["gamma"] == 0.45455


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("RGB", {"quality": 75}),
        ("RGB", {"quality": 85, "subsampling": 0}),
        ("RGB", {"quality": 90, "subsampling": 1, "progressive": True}),
        ("L", {"quality": 75}),
        ("CMYK", {"quality": 80}),
    ],
)
def test_a_jpeg_is_compressed_as_it_was(name: str, options: dict[str, object], tmp_path: Path) -> None:
    """Beyond 16 pixels from the hole, the bound that docs/images.md states."""
    large = Image.fromarray(smooth(120, 160)).convert(name)
    data = encoded(large, "JPEG", icc_profile=cmyk_profile() if name == "CMYK" else b"", **options)
    photo = decode(data)
    hole = np.zeros((120, 160), np.uint8)
    hole[40:80, 60:100] = 1
    inverted = 255 - np.asarray(rgb(photo))
    path = tmp_path / "out.jpg"
    fitting, said = adapted(photo, JPEG)
    said += write(fill(fitting, inverted, hole), JPEG, path)
    after = decode(path.read_bytes())
    assert said == []
    assert (after.kind, after.jpeg) == (photo.kind, photo.jpeg)
    assert after.image.info.get("icc_profile") == photo.image.info.get("icc_profile")
    far = np.ones((120, 160), bool)
    far[24:96, 44:116] = False
    difference = np.abs(own(after).astype(int) - own(photo))[far]
    assert difference.mean() <= 1.2
    assert np.quantile(difference, 0.99) <= 6
    assert difference.max() <= 40


def test_a_photo_of_another_format_becomes_a_good_jpeg(tmp_path: Path) -> None:
    before, after, said = rewritten(encoded(Image.fromarray(COLORS)), ".jpg", tmp_path)
    assert said == []
    assert after.jpeg["subsampling"] == 0
    difference = np.abs(own(after).astype(int) - own(before))[HOLE == 0]
    assert difference.mean() <= 1.2
    assert difference.max() <= 25


def test_other_formats_are_refused() -> None:
    for name in ("out", "out.xyz", "out.avif", "out.heic"):
        with pytest.raises(UserError, match=f"{name}: unknown image format, .*; end the name in .png"):
            format_of(Path(name))
