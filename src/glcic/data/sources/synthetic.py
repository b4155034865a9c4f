"""Faces drawn by this program, a data set that needs no download.

Every picture is painted in CelebA's aligned frame (178 wide × 218 high, eyes near (69, 111) and (109, 111),
mouth near y = 152) and written in CelebA's own layout, so the rest of the pipeline treats both sources alike.

Shapes are given in *face pixels*: one unit is one pixel of the finished picture at scale 1, the origin lies
midway between eyes and mouth, x grows to the viewer's right, y downward. `Pose` maps them to the canvas.
A generator has something to learn, because the surroundings of a hole tell what it hides: both eyes
and brows agree, brows and beard follow the hair, and one lamp lights face, neck and background.
"""

from __future__ import annotations

import colorsys
import io
import math
import multiprocessing
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from tqdm import tqdm

from glcic.data.sources import celeba_layout as layout
from glcic.errors import UserError
from glcic.files import atomic

Floats = NDArray[np.float32]
Color = tuple[float, float, float]  # red, green, blue in [0, 255]
Style = Literal["bald", "short", "parted", "fringe", "long", "curly"]

WIDTH, HEIGHT = 178, 218  # CelebA's aligned pictures
ORIGIN = (89.0, 128.0)  # of the face in a picture without jitter
SUPERSAMPLING = 2  # shapes are painted at this scale, then averaged down
CANVAS = (WIDTH * SUPERSAMPLING, HEIGHT * SUPERSAMPLING)
SUBPIXEL_BITS = 5  # fractional bits of the coordinates given to OpenCV
NOISE = 2.0  # standard deviation of the sensor noise, in gray levels of 255
BLOCK = 512  # pictures in flight: bounds the memory for data sets of any size

EYE_X, EYE_Y, MOUTH_Y, CHIN_Y, CROWN_Y = 20.0, -17.0, 24.0, 57.0, -77.0
DEPTH = 46.0  # of the face, from its outline to its middle

# Natural colors, in an order in which neighbors can be blended.
SKIN = ["eccdb6", "e6bf9f", "d4a380", "b37f5c", "875a3f", "583a2c"]
HAIR = ["1a1616", "302118", "543726", "744228", "9e764a", "ceaa72", "94482a"]
IRIS = ["422818", "62402a", "706238", "54745c", "587a9c", "788890"]
GRAY, LIPSTICK = "a4a2a0", ["bc2c3c", "b04654", "962838", "ce6064"]


@dataclass(frozen=True)
class Pose:
    """Position of the head in the picture."""

    roll: float  # in-plane rotation, radians, clockwise
    yaw: float  # turn of the head, radians, positive toward the viewer's right
    scale: float  # picture pixels per face pixel
    shift: tuple[float, float]  # of the origin, picture pixels

    def turn(self, points: ArrayLike) -> Floats:
        """Apply the yaw to points (…, 2) on the face, in face pixels; returns (…, 2).

        The face is a paraboloid, highest in the middle and level with its outline at the edge. The eyes stay
        in place, as in aligned photographs: the nose moves with the turn and the outline against it.
        """
        xy = np.asarray(points, np.float32)
        x, y = xy[..., 0], xy[..., 1]
        height = DEPTH * np.maximum(1 - (x / 46) ** 2 - ((y + 10) / 75) ** 2, 0)
        eyes = DEPTH * (1 - (EYE_X / 46) ** 2)
        return np.stack([x * math.cos(self.yaw) + (height - eyes) * math.sin(self.yaw), y], axis=-1)

    def matrix(self) -> NDArray[np.float64]:
        """Affine map (2, 3) from turned face pixels to canvas pixels."""
        cos, sin = math.cos(self.roll) * self.scale, math.sin(self.roll) * self.scale
        x, y = ORIGIN[0] + self.shift[0], ORIGIN[1] + self.shift[1]
        matrix = SUPERSAMPLING * np.array([[cos, -sin, x], [sin, cos, y]])
        matrix[:, 2] += (SUPERSAMPLING - 1) / 2  # the middle of the first pixel has the coordinate 0
        return matrix

    def place(self, points: ArrayLike) -> Floats:
        """Map points (n, 2) from face pixels to canvas pixels."""
        matrix = self.matrix().astype(np.float32)
        return self.turn(points) @ matrix[:, :2].T + matrix[:, 2]


@dataclass(frozen=True)
class Face:
    """Random attributes of a face, except its textures; lengths are in face pixels.

    Features that come in pairs share one value.
    """

    pose: Pose
    light: tuple[float, float, float]  # unit vector toward the lamp: right, down, out of the picture
    ambient: float  # share of the light that comes from everywhere, in [0, 1]
    skin: Color
    cheek: float  # half the width at the cheekbones
    jaw: float  # half the width at the corner of the jaw
    chin: float  # half the width of the chin
    chin_y: float
    eye_width: float  # half the length of the opening
    eye_open: float  # height of the upper lid above the corners
    eye_tilt: float  # rise of the outer corner
    iris: Color
    gaze: tuple[float, float]  # of the iris from the middle of the eye
    lid: float  # opacity of the shade on the upper lid, in [0, 1]
    brow: Color
    brow_height: float  # above the middle of the eye
    brow_width: float  # half the thickness
    brow_arch: float  # rise of the middle over the ends
    brow_slant: float  # rise of the outer end over the middle
    nose_length: float  # from the eyes to the tip
    nose_width: float  # half the distance between the outer walls of the nostrils
    mouth_width: float  # half the distance between the corners
    mouth_open: float  # gap between the lips
    smile: float  # rise of the corners
    lip: float  # fullness of the lower lip
    lips: Color
    style: Style
    hair: Color
    hairline: float  # y of the hair's edge at the parting
    volume: float  # how far the hair stands off the skull
    hair_end: float  # y where the hair ends beside the face; above 0 is long hair
    parting: float  # position of the parting across the forehead, in (-1, 1)
    wave: float  # sideways wave of the strands, radians
    beard: float  # opacity, in [0, 1]; low values are stubble
    mustache: float  # opacity, in [0, 1]
    glasses: Color | None
    lens: tuple[float, float, float]  # half width, half height, and exponent of the outline (2 is round)
    clothes: Color
    neckline: float  # depth of the neckline
    neck: float  # half the width
    backdrop: tuple[Color, Color]  # lit and unlit side of the background


def mix(a: Color, b: Color, share: float) -> Color:
    """Blend two colors: `a`, with the fraction `share` of it replaced by `b`."""
    red, green, blue = (float(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def shaded(color: Color, factor: float) -> Color:
    """Scale a color's brightness; shadows keep more red, as on skin and hair."""
    return color[0] * factor**0.85, color[1] * factor, color[2] * factor**1.05


def hsv(hue: float, saturation: float, value: float) -> Color:
    """Color of a hue (in turns; only its fraction counts), and saturation and value in [0, 1]."""
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return 255 * red, 255 * green, 255 * blue


def palette(colors: list[str], position: float) -> Color:
    """Color at `position`, in [0, len(colors) - 1], of a list of hexadecimal colors; neighbors are blended."""
    rgb = np.array([list(bytes.fromhex(color)) for color in colors])
    red, green, blue = (float(np.interp(position, np.arange(len(rgb)), channel)) for channel in rgb.T)
    return red, green, blue


def draw_lots(rng: np.random.Generator) -> Face:
    """Draw a face's attributes at random, correlated as in nature or fashion."""
    between = rng.uniform
    tone = between()  # 0 very light … 1 very dark
    red, green, blue = palette(SKIN, tone * (len(SKIN) - 1))
    skin = red, green * between(0.97, 1.01), blue * between(0.94, 1.06)
    # Dark skin seldom comes with light hair or light eyes.
    hair = palette([GRAY], 0) if between() < 0.1 else palette(HAIR, between(0, max(1.0, 6 - 8 * tone)))
    iris = palette(IRIS, between(0, 5 if tone < 0.45 else 1.4))

    # Painted lips go with the first list of styles, beards and strong brows with the second.
    feminine = between() < 0.5
    styles: list[list[Style]] = [
        ["parted", "fringe", "long", "long", "curly"],
        ["bald", "short", "short", "parted", "curly"],
    ]
    style = styles[0 if feminine else 1][rng.integers(5)]
    bearded = not feminine and between() < 0.55
    made_up = feminine and between() < 0.6
    natural_lips = mix(shaded(skin, 0.78), (176, 84, 84), 0.42)
    cheek, mouth_open = between(41, 45.5), max(0.0, between(-5, 6))

    azimuth, elevation = between(-1.0, 1.0), between(0.15, 0.75)
    across, out = math.sin(azimuth) * math.cos(elevation), math.cos(azimuth) * math.cos(elevation)
    hue, value = between(), between(0.25, 0.95)
    lit_wall = hsv(hue, between(0.02, 0.45), value)
    unlit_wall = hsv(hue + between(-0.12, 0.12), between(0.05, 0.5), 0.55 * value)
    return Face(
        pose=Pose(
            roll=math.radians(np.clip(rng.normal(0, 5), -12, 12)),
            yaw=math.radians(np.clip(rng.normal(0, 7), -16, 16)),
            scale=between(0.95, 1.1),
            shift=(between(-3, 3), between(-3, 3)),
        ),
        light=(across, -math.sin(elevation), out),
        ambient=between(0.35, 0.6),
        skin=skin,
        cheek=cheek,
        jaw=cheek * between(0.70, 0.78) if feminine else cheek * between(0.75, 0.86),
        chin=between(11, 15) if feminine else between(13, 18),
        chin_y=between(CHIN_Y - 4, CHIN_Y + 4),
        eye_width=between(9.8, 11.2),
        eye_open=between(3.4, 4.8) + 0.4 * made_up,
        eye_tilt=between(-0.6, 1.6),
        iris=iris,
        gaze=(between(-2, 2), between(-0.5, 0.5)),
        lid=between(0.1, 0.3) + 0.3 * made_up,
        brow=shaded(mix(hair, (60, 42, 32), 0.4), 0.75),
        brow_height=between(11.0, 13.5),
        brow_width=between(1.3, 2.0) if feminine else between(1.8, 2.8),
        brow_arch=between(0.8, 3.0),
        brow_slant=between(-1.5, 1.5),
        nose_length=between(23, 28),
        nose_width=between(7.0, 9.2) + tone,
        mouth_width=between(14, 19),
        mouth_open=mouth_open,
        smile=between(0, 3.4) + 0.4 * mouth_open,
        lip=between(3.8, 5.6) + 1.2 * tone,
        lips=palette(LIPSTICK, between(0, 3)) if made_up else natural_lips,
        style=style,
        hair=hair,
        hairline=between(-58, -50),
        volume=between(7, 12) if style == "short" else between(9, 17),
        hair_end=between(35, 110) if style in ("long", "fringe") else -14.0,
        parting=between(-0.6, 0.6),
        wave=between(0, 0.12),
        beard=bearded * rng.choice([0.25, 0.85]) * between(0.8, 1.0),
        mustache=bearded * rng.choice([0.0, 0.8]),
        glasses=shaded((46, 38, 40), between(0.4, 2.2)) if between() < 0.2 else None,
        lens=(between(13.5, 15.5), between(9, 12), between(2, 5)),
        clothes=hsv(between(), between(0.05, 0.7), between(0.15, 0.95)),
        neckline=between(2, 22),
        neck=between(21, 25) if feminine else between(25, 30),
        backdrop=(lit_wall, unlit_wall),
    )


def spline(points: ArrayLike, closed: bool = False, steps: int = 6) -> Floats:
    """Catmull–Rom curve (m, 2) through points (n, 2)."""
    knots = np.asarray(points, np.float32)
    before, after = (knots[-1:], knots[:2]) if closed else (knots[:1], knots[-1:])
    windows = np.lib.stride_tricks.sliding_window_view(np.concatenate([before, knots, after]), 4, axis=0)
    t = np.linspace(0, 1, steps, endpoint=False)
    t2, t3 = t**2, t**3
    weights = 0.5 * np.stack([-t + 2 * t2 - t3, 2 - 5 * t2 + 3 * t3, t + 4 * t2 - 3 * t3, t3 - t2])
    curve = (windows @ weights).transpose(0, 2, 1).reshape(-1, 2).astype(np.float32)
    return curve if closed else np.concatenate([curve, knots[-1:]])


def ellipse(x: float, y: float, a: float, b: float, exponent: float = 2.0) -> Floats:
    """Closed superellipse (32, 2) around (x, y) with half axes a and b."""
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return (np.sign(circle) * np.abs(circle) ** (2 / exponent) * (a, b) + (x, y)).astype(np.float32)


def ribbon(center: ArrayLike, half_width: ArrayLike) -> Floats:
    """Outline (2n, 2) of a stroke along `center` (n, 2); its half width is one number or (n,)."""
    line = np.asarray(center, np.float32)
    along = np.gradient(line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-6
    offset = along[:, ::-1] * (-1, 1) * np.broadcast_to(half_width, len(line))[:, None]
    return np.concatenate([line + offset, (line - offset)[::-1]])


def mirrored(right: ArrayLike) -> Floats:
    """Closed outline (2n, 2) from its right half (n, 2), which runs from top to bottom."""
    half = np.asarray(right, np.float32)
    return np.concatenate([half, half[::-1] * (-1, 1)])


def relief(face: Face) -> list[tuple[float, float, float, float, float]]:
    """Gaussian bumps on the plain face: x, y, two standard deviations (width, height), and peak (elevation)."""
    tip, wing = EYE_Y + face.nose_length, face.nose_width
    pairs = [
        (18.0, -28.0, 11.0, 4.0, 1.6),  # brow ridge
        (20.0, EYE_Y, 9.0, 5.0, -2.4),  # socket
        (8.5, EYE_Y, 3.5, 6.0, -2.2),  # beside the root of the nose
        (0.75 * wing, tip + 1, 2.6, 3.0, 2.2),  # wall of the nostril
        (25.0, 9.0 - face.smile, 9.0, 8.0, 2.2 + 0.7 * face.smile),  # cheek
    ]
    return [
        (0.0, tip - 12, 3.6, 11.0, 4.6),  # ridge of the nose
        (0.0, tip - 1, 0.52 * wing, 4.2, 5.0),  # its tip
        (0.0, MOUTH_Y, 14.0, 8.0, 2.2),
        (0.0, MOUTH_Y + face.lip + 5, 9.0, 2.4, -1.6),  # hollow below the lower lip
        (0.0, face.chin_y - 10, 8.0, 5.5, 2.6),
        *pairs,
        *((-x, y, width, height, elevation) for x, y, width, height, elevation in pairs),
    ]


def lighting(face: Face) -> Floats:
    """Brightness of head and shoulders in the lamp's light: factors (3, canvas height, canvas width) around 1.

    Lambert's law is applied to a smooth height field. The field is upright in face pixels, where every bump is a
    product of two one-dimensional Gaussians, and is then mapped to the canvas.
    """
    step, left, top = 2, -112, -150
    x, y = np.arange(left, 112, step, dtype=np.float32), np.arange(top, 112, step, dtype=np.float32)
    middle = face.pose.turn([0, CHIN_Y])[0]  # of the head's outline, after the turn
    flatten = np.clip((86 - y) / 36, 0.25, 1)[:, None]  # shoulders are flatter than the head
    slope_x = 1.25 * flatten * np.tanh((x - middle) / 46)
    slope_y = 0.95 * flatten * np.tanh((y[:, None] + 12) / 72) + np.zeros_like(x)
    for bump_x, bump_y, width, height, elevation in relief(face):
        u = (x - face.pose.turn([bump_x, bump_y])[0]) / width
        v = (y - bump_y) / height
        across, down = np.exp(-(u**2) / 2), elevation * np.exp(-(v**2) / 2)
        slope_x += np.outer(down, across * u / width)
        slope_y += np.outer(down * v / height, across)

    cos, sin = math.cos(face.pose.roll), math.sin(face.pose.roll)
    lamp_x, lamp_y = cos * face.light[0] + sin * face.light[1], cos * face.light[1] - sin * face.light[0]
    lambert = (slope_x * lamp_x + slope_y * lamp_y + face.light[2]) / np.sqrt(1 + slope_x**2 + slope_y**2)
    # Light scatters inside the skin, so that shadows begin later than by Lambert's law.
    soft = np.clip((lambert + 0.3) / (face.light[2] + 0.3), 0, 1.3)
    shade = np.asarray(face.ambient + (1 - face.ambient) * soft, np.float32)

    matrix = face.pose.matrix()
    matrix[:, 2] += matrix[:, :2] @ (left, top)
    matrix[:, :2] *= step
    placed = cv2.warpAffine(shade, matrix, CANVAS, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    warmth = np.array([0.92, 1, 1.06], np.float32)[:, None, None]  # blue falls off first
    return 1 + warmth * (placed.astype(np.float32, copy=False) - 1)


def coverage(points: Floats, shape: tuple[int, ...], sigma: float) -> NDArray[np.uint8]:
    """Coverage of each pixel by a polygon, in 1/255, blurred.

    Args:
        points: (n, 2), vertices of the polygon in pixels.
        shape: (height, width) of the result.
        sigma: standard deviation of the blur in pixels.
    """
    cover = np.zeros(shape, np.uint8)
    fixed = np.rint(points * 2**SUBPIXEL_BITS).astype(np.int32)
    cv2.fillPoly(cover, [fixed], 255, cv2.LINE_AA, SUBPIXEL_BITS)
    # Two box blurs of width w have the variance (w² - 1) / 6 and cost the same for any w, unlike a Gaussian.
    # (OpenCV's stackBlur would be one call, but its result depends on the number of threads.)
    width = 2 * round((math.sqrt(1 + 6 * sigma**2) - 1) / 2) + 1
    if width > 1:
        cover = cv2.blur(cv2.blur(cover, (width, width)), (width, width)).astype(np.uint8, copy=False)
    return cover


@dataclass(frozen=True)
class Canvas:
    """Picture in progress; `image` and `light` are (3, canvas height, canvas width)."""

    image: Floats  # in [0, 255]
    light: Floats
    pose: Pose

    def fill(
        self,
        outline: ArrayLike,
        color: Color,
        alpha: float = 1.0,
        *,
        blur: float = 0.0,
        clip: Floats | None = None,
        texture: Floats | None = None,
    ) -> None:
        """Paint the inside of a closed outline (n, 2) with opacity `alpha`.

        `blur` softens the edge (in face pixels), `clip` is a second outline (m, 2) to stay within, and `texture`
        (canvas height, canvas width) multiplies the color.
        """
        sigma = blur * SUPERSAMPLING * self.pose.scale
        points, margin = self.pose.place(outline), int(3 * sigma) + 2
        x0, y0 = np.clip(np.floor(points.min(axis=0)).astype(int) - margin, 0, CANVAS)
        x1, y1 = np.clip(np.ceil(points.max(axis=0)).astype(int) + margin, 0, CANVAS)
        if x0 == x1 or y0 == y1:
            return
        cover = coverage(points - (x0, y0), (y1 - y0, x1 - x0), sigma)
        if clip is not None:
            np.minimum(cover, coverage(self.pose.place(clip) - (x0, y0), cover.shape, 0), out=cover)
        region = self.image[:, y0:y1, x0:x1]
        paint = np.asarray(color, np.float32)[:, None, None] * self.light[:, y0:y1, x0:x1]
        if texture is not None:
            paint *= texture[y0:y1, x0:x1]
        paint -= region
        paint *= cover * np.float32(alpha / 255)
        region += paint


def backdrop(face: Face, rng: np.random.Generator) -> Floats:
    """Blurred background (3, canvas height, canvas width), in [0, 255], brighter toward the lamp."""
    y, x = np.linspace(-1, 1, 8)[:, None], np.linspace(-1, 1, 7)
    unlit = 0.5 - 0.45 * (x * face.light[0] + y * face.light[1]) + rng.normal(0, 0.2, (8, 7))
    share, vignette = np.clip(unlit, 0, 1), 1.04 - 0.12 * (x**2 + y**2)
    planes = [((1 - share) * a + share * b) * vignette for a, b in zip(*face.backdrop, strict=True)]
    coarse = np.asarray(planes, np.float32)
    return np.stack([cv2.resize(plane, CANVAS, interpolation=cv2.INTER_CUBIC) for plane in coarse])


def strands(face: Face, rng: np.random.Generator) -> Floats:
    """Texture of the hair (canvas height, canvas width), factors around 1: curls, or strands from the parting."""
    if face.style == "curly":
        curls = 1 + 0.14 * rng.standard_normal((HEIGHT // 4, WIDTH // 4), dtype=np.float32)
        return np.asarray(cv2.resize(curls, CANVAS, interpolation=cv2.INTER_CUBIC), np.float32)
    root_x, root_y = face.pose.place([[25 * face.parting, CROWN_Y]])[0] / SUPERSAMPLING
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    radius, angle = cv2.cartToPolar(x - root_x, y - root_y)
    angle += np.float32(face.wave) * np.sin(radius * np.float32(0.09))
    ray = np.zeros((1, 1024))  # brightness by angle: broad locks and fine strands
    for sigma, contrast in ((5, 0.35), (1, 0.14)):
        ray += contrast * cv2.GaussianBlur(rng.normal(0, 1, ray.shape), (0, 0), sigma)
    tone = ray[0].astype(np.float32)[(angle * (1024 / (2 * math.pi))).astype(np.int32) & 1023]
    sheen = 0.22 * np.exp(-(((radius - 31) / 13) ** 2))
    return np.asarray(cv2.resize(1 + tone * np.clip(radius / 30, 0.3, 1) + sheen * (1 + 2 * tone), CANVAS))


def jawline(face: Face, stand: float = 0.0) -> list[tuple[float, float]]:
    """Points (x, y) of the right half of the face from ear to chin, `stand` face pixels off the skin."""
    half = [(0.975 * face.cheek + stand, 6.0), (face.jaw + stand, 30.0)]
    half += [(0.55 * face.jaw + 0.45 * face.chin + stand, 45 + stand)]
    return [*half, (face.chin, face.chin_y - 4 + 2 * stand), (0.4 * face.chin, face.chin_y + 2 * stand)]


def head_outline(face: Face) -> Floats:
    """Outline (n, 2) of skull, cheeks, jaw and chin."""
    wide = face.cheek
    skull = [(0.2 * wide, CROWN_Y), (0.56 * wide, CROWN_Y + 8), (0.88 * wide, -50), (wide, -20)]
    return spline(mirrored([*skull, *jawline(face)]), closed=True)


def paint_body(canvas: Canvas, face: Face) -> None:
    """Paint neck and clothes, nearly upright for any pose of the head, and the head's shadow on the neck."""
    body, n = replace(canvas, pose=replace(face.pose, yaw=0.0, roll=0.2 * face.pose.roll)), face.neck
    throat = mirrored([(n, 20), (n, 52), (n + 3, 66), (n + 30, 80), (n + 40, 160)])
    body.fill(throat, shaded(face.skin, 0.88))
    canvas.fill(np.add(head_outline(face), (0, 9)), shaded(face.skin, 0.45), 0.6, blur=4, clip=throat)
    collar = [(1, 70 + face.neckline), (0.6 * n, 69 + 0.7 * face.neckline), (n + 1, 64)]
    dress = mirrored([*spline(collar), *spline([(n + 1, 64), (n + 24, 71), (80, 82), (130, 96)]), (130, 180)])
    body.fill(np.add(dress, (0, -1)), shaded(face.clothes, 0.6))  # the seam
    body.fill(dress, face.clothes)


def paint_head(canvas: Canvas, face: Face) -> None:
    """Paint ears and bare skin, with flushed cheeks and nose, and the folds beside the mouth."""
    outline, dark, flush = head_outline(face), shaded(face.skin, 0.5), mix(face.skin, (214, 74, 70), 0.5)
    for side in (-1, 1):
        canvas.fill(ellipse(side * (face.cheek + 1), -7, 5.5, 11.5), shaded(face.skin, 0.93))
        canvas.fill(ellipse(side * (face.cheek + 2), -8, 2.6, 7.5), dark, 0.45, blur=1.2)
    canvas.fill(outline, face.skin)
    tip = EYE_Y + face.nose_length
    canvas.fill(ellipse(0, tip - 1, 7, 5), flush, 0.22, blur=3)
    fold = spline([(face.nose_width + 1, tip), (face.mouth_width + 3, 13), (face.mouth_width + 5, 20)])
    for side in (-1, 1):
        canvas.fill(ellipse(side * 27, 8, 10, 8), flush, 0.28, blur=5, clip=outline)
        canvas.fill(ribbon(fold * (side, 1), 0.8), dark, 0.16 + 0.08 * max(face.smile, 0), blur=0.9)


def paint_beard(canvas: Canvas, face: Face, texture: Floats) -> None:
    """Paint stubble or beard along the jaw, and the mustache; `texture` is that of `strands`."""
    mouth, below = face.mouth_width, MOUTH_Y + face.lip + 4
    color = shaded(mix(face.hair, face.skin, 0.15), 0.85)
    inner = [(1, below), (0.6 * mouth, below - 1), (mouth + 2, MOUTH_Y + 3), (mouth + 4, MOUTH_Y - 8)]
    inner += [(0.74 * face.cheek, 8), (0.9 * face.cheek, -12), (face.cheek, -14)]
    beard = spline(mirrored([*inner, *jawline(face, stand=2.0 * (face.beard > 0.5))]), closed=True)
    canvas.fill(beard, color, face.beard, blur=1.5, texture=texture)
    top = EYE_Y + face.nose_length + 7
    half = [(1, top), (0.55 * mouth, top + 2), (mouth + 3, MOUTH_Y + 1), (mouth + 2, MOUTH_Y + 4)]
    half += [(0.9 * mouth, MOUTH_Y - 1), (0.4 * mouth, MOUTH_Y - 3), (1, MOUTH_Y - 2.5)]
    mustache = spline(mirrored(half), closed=True)
    canvas.fill(mustache, color, max(face.beard, face.mustache), blur=0.9, texture=texture)


def paint_nose(canvas: Canvas, face: Face) -> None:
    """Paint nostrils and the nose's shadows; its form comes from the relief."""
    tip, w, dark = EYE_Y + face.nose_length, face.nose_width, shaded(face.skin, 0.3)
    away = -math.copysign(1, face.light[0])
    cast = [(away * 2, tip - 16), (away * (w + 5), tip + 1), (away * (w + 1), tip + 6), (0, tip + 5)]
    canvas.fill(cast, dark, 0.38 * abs(face.light[0]), blur=2.2)
    canvas.fill(ellipse(0, tip + 5, 0.8 * w, 1.8), dark, 0.4, blur=1.2)
    wing = spline([(w - 1, tip - 4), (w + 0.4, tip), (w, tip + 3), (w - 2, tip + 4.5)])
    for side in (-1, 1):
        canvas.fill(ribbon(wing * (side, 1), 0.7), dark, 0.42, blur=0.7)
        canvas.fill(ellipse(side * 0.45 * w, tip + 4, 2.3, 1.2), dark, 0.85, blur=0.4)


def paint_mouth(canvas: Canvas, face: Face) -> None:
    """Paint the lips, the line between them, and the teeth of an open mouth."""
    s = np.linspace(-1, 1, 21)  # along the mouth from corner to corner
    x, gap, dark = face.mouth_width * s, face.mouth_open * (1 - s**2), shaded(face.lips, 0.35)
    line = MOUTH_Y + face.smile * (0.4 - 1.3 * s**2)
    upper, lower = line - 0.35 * gap, line + 0.65 * gap
    bow = 1 - 0.25 * np.exp(-((s / 0.13) ** 2))  # Cupid's bow
    top = upper - 0.75 * face.lip * (1 - np.abs(s) ** 1.7) * bow
    bottom = lower + face.lip * (1 - np.abs(s) ** 2.4)

    def enclosed(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([np.append(x, x[::-1]), np.append(above, below[::-1])], axis=1)

    canvas.fill(enclosed(upper, bottom), face.lips, blur=0.4)
    canvas.fill(enclosed(top, upper + 0.3), shaded(face.lips, 0.82), blur=0.4)
    shine_y = float(lower[10]) + 0.45 * face.lip
    shine = ellipse(2.5 * face.light[0], shine_y, 0.4 * face.mouth_width, 0.18 * face.lip)
    canvas.fill(shine, (255, 236, 230), 0.3, blur=0.9)
    if face.mouth_open > 0.8:
        canvas.fill(enclosed(upper, lower), (70, 24, 26))
        canvas.fill(enclosed(upper, upper + 0.72 * gap * (np.abs(s) < 0.93)), (238, 232, 222), blur=0.3)
    canvas.fill(ribbon(np.stack([x, upper], axis=1), 0.35 + 0.35 * (1 - s**2)), dark, 0.8, blur=0.35)
    for side in (-1, 1):
        canvas.fill(ellipse(side * (face.mouth_width + 0.5), line[0], 1.6, 1.2), dark, 0.45, blur=0.8)


def paint_eye(canvas: Canvas, face: Face, side: int) -> None:
    """Paint one eye; `side` is -1 for the viewer's left and 1 for the right. Only the gaze is not mirrored."""
    s = np.linspace(-1, 1, 15, dtype=np.float32)  # from the inner to the outer corner
    x, base = side * (EYE_X + face.eye_width * s), EYE_Y - face.eye_tilt * s
    arch = 1 - np.abs(s + 0.1 * (1 - s**2)) ** 2.3  # steeper toward the nose
    upper = np.stack([x, base - face.eye_open * arch], axis=1)
    lower = np.stack([x, base + 0.55 * face.eye_open * (1 - s**2)], axis=1)
    opening = np.concatenate([upper, lower[::-1]])
    dark, lash = shaded(face.skin, 0.4), mix(shaded(face.hair, 0.4), (16, 12, 12), 0.6)
    iris_x, iris_y = EYE_X * side + face.gaze[0], EYE_Y - 0.12 * face.eye_open + face.gaze[1]

    lid = ellipse(side * (EYE_X + 0.5), EYE_Y - 4.5, face.eye_width + 1, 4.5)
    canvas.fill(lid, dark, face.lid, blur=2)
    canvas.fill(opening, (234, 229, 225))
    canvas.fill(ellipse(iris_x, iris_y, 4.9, 4.9), shaded(face.iris, 0.4), clip=opening)
    canvas.fill(ellipse(iris_x, iris_y, 4.1, 4.1), face.iris, clip=opening, blur=0.3)
    canvas.fill(ellipse(iris_x, iris_y + 1.7, 2.6, 1.7), shaded(face.iris, 1.45), 0.6, clip=opening, blur=0.6)
    canvas.fill(ellipse(iris_x, iris_y, 2.0, 2.0), (14, 11, 12), clip=opening)
    canvas.fill(ribbon(np.add(upper, (0, 1)), 1.1), (40, 28, 28), 0.45, blur=0.7, clip=opening)
    glint = ellipse(iris_x + 2 * face.light[0], iris_y + 2 * face.light[1], 1, 1)
    canvas.fill(glint, (255, 255, 255), 0.95)

    canvas.fill(ribbon(upper, 0.65 + 0.25 * (s + 1)), lash, 0.92, blur=0.2)
    canvas.fill(ribbon(lower, 0.4), lash, 0.3, blur=0.4)
    canvas.fill(ribbon(np.subtract(upper[1:-1], (0, 2.6)), 0.5), dark, 0.5, blur=0.6)  # crease above the lid
    canvas.fill(ribbon(np.add(lower[2:-1], (0, 3.6)), 0.9), dark, 0.18, blur=1.2)  # fold below the eye


def paint_brow(canvas: Canvas, face: Face, side: int) -> None:
    """Paint one eyebrow; `side` is -1 for the viewer's left and 1 for the right."""
    s = np.linspace(-1, 1, 13)  # from the inner to the outer end
    rise = face.brow_height + face.brow_arch * (1 - (s - 0.2) ** 2) + face.brow_slant * s
    width = face.brow_width * np.sqrt(1 - (0.86 * s) ** 4) * (0.8 - 0.25 * s)
    line = np.stack([side * (EYE_X + 0.8 + 12 * s), EYE_Y - rise], axis=1)
    canvas.fill(ribbon(line, width), face.brow, 0.9, blur=0.5)


def paint_glasses(canvas: Canvas, face: Face, frame: Color) -> None:
    """Paint rims, bridge, and the arms that reach the ears."""
    (width, height, exponent), y = face.lens, EYE_Y + 1.5
    bridge = spline([(width - EYE_X, y - 2), (0, y - 4), (EYE_X - width, y - 2)])
    canvas.fill(ribbon(bridge, 0.9), frame)
    for side in (-1, 1):
        lens = ellipse(side * EYE_X, y, width, height, exponent)
        canvas.fill(lens, (255, 255, 255), 0.06)
        canvas.fill(ribbon(np.concatenate([lens, lens[:2]]), 0.95), frame)
        arm = [(side * (EYE_X + width), y - 3), (side * (face.cheek + 3), y + 1)]
        canvas.fill(ribbon(arm, 1.2), frame)


def hair_edges(face: Face, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Outer edge of the hair and its edge against the face, (n, 2) each, both from left to right."""
    v, wide, end = face.volume, face.cheek, face.hair_end
    half = [(0.25 * wide, CROWN_Y - v), (0.64 * wide + 0.4 * v, CROWN_Y + 8 - 0.75 * v)]
    half += [(0.94 * wide + 0.75 * v, -48)]
    if end > 0:
        half += [(wide + v, -10), (wide + v, 0.5 * end), (wide + v - 2, end), (0.8 * wide, end + 6)]
    else:
        half += [(wide + 0.5 * v, -25), (wide + 0.2 * v, end)]
    outer = spline(np.concatenate([np.multiply(half[::-1], (-1, 1)), half]))
    if face.style == "curly":
        outer += 3 * cv2.GaussianBlur(rng.normal(0, 1, outer.shape), (1, 0), 1)

    # The hairline drops with the distance from the parting: an even drop makes curtains, a late one a fringe.
    s = np.linspace(-1, 1, 61)
    distance = np.abs((s - face.parting) / (1 - face.parting * np.sign(s - face.parting)))
    power = {"bald": 4.5, "short": 4.5, "parted": 2.4, "fringe": 9.0, "long": 2.2, "curly": 4.0}[face.style]
    top, low = (EYE_Y - 17 if face.style == "fringe" else face.hairline), (2.0 if end > 0 else -12.0)
    tips = cv2.GaussianBlur(rng.normal(0, 2.2 if face.style == "fringe" else 1, (1, 61)), (0, 1), 0.8)[0]
    inner = np.stack([0.93 * wide * s, top + (low - top) * distance**power + tips], axis=1)
    if end > 0:
        curtain = [(0.93 * wide, 20), (0.9 * wide, 0.7 * end), (0.75 * wide, end + 2)]
        inner = np.concatenate([np.multiply(curtain[::-1], (-1, 1)), inner, curtain])
    return outer, inner.astype(np.float32)


def render(face: Face, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Paint a face from back to front: (218, 178, 3), uint8, RGB; `rng` is for textures and noise only."""
    canvas = Canvas(backdrop(face, rng), lighting(face), face.pose)
    texture = strands(face, rng)
    outer, inner = hair_edges(face, rng)
    front = np.concatenate([outer, inner[::-1]])
    if face.hair_end > 0 or face.style == "curly":
        canvas.fill(outer, shaded(face.hair, 0.62), blur=0.8, texture=texture)
    paint_body(canvas, face)
    paint_head(canvas, face)
    if face.beard or face.mustache:
        paint_beard(canvas, face, texture)
    paint_nose(canvas, face)
    paint_mouth(canvas, face)
    for side in (-1, 1):
        paint_eye(canvas, face, side)
        paint_brow(canvas, face, side)
    if face.glasses is not None:
        paint_glasses(canvas, face, face.glasses)
    if face.style == "bald":  # a trace of shaved hair
        canvas.fill(front, face.hair, 0.12, blur=3, clip=head_outline(face))
    else:
        canvas.fill(np.add(front, (0, 3)), shaded(face.skin, 0.4), 0.4, blur=2.5, clip=head_outline(face))
        canvas.fill(front, face.hair, blur=0.8, texture=texture)
    planes = [cv2.resize(plane, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for plane in canvas.image]
    noise = rng.standard_normal((HEIGHT, WIDTH, 3), dtype=np.float32)
    return np.clip(np.rint(np.stack(planes, axis=-1) + np.float32(NOISE) * noise), 0, 255).astype(np.uint8)


def draw_face(seed: int, index: int) -> NDArray[np.uint8]:
    """Draw face `index` of the data set `seed`: (218, 178, 3), uint8, RGB. It depends on these two numbers only."""
    rng = np.random.default_rng([seed, index])
    return render(draw_lots(rng), rng)


def jpeg(seed: int, index: int) -> bytes:
    """Draw face `index` of the data set `seed` as a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(draw_face(seed, index)).save(file, "JPEG", quality=95, subsampling=0)  # 0 is 4:4:4
    return file.getvalue()


def jpegs(count: int, seed: int, processes: int) -> Iterator[bytes]:
    """Draw the first `count` faces of the data set `seed`, in order, in several processes; yields JPEG files."""
    draw = partial(jpeg, seed)
    if processes == 1:
        yield from map(draw, range(count))
        return
    spawn = multiprocessing.get_context("spawn")
    # One OpenCV thread per process: the processes already use the whole machine.
    with ProcessPoolExecutor(processes, spawn, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        for start in range(0, count, BLOCK):
            yield from pool.map(draw, range(start, min(start + BLOCK, count)), chunksize=16)


def write_synthetic(folder: Path, *, train: int, val: int, test: int, seed: int, processes: int) -> None:
    """Draw a data set, in CelebA's layout, into an existing folder.

    Writes `images.zip` (members `img_align_celeba/000001.jpg` …) and `list_eval_partition.txt` (lines
    `000001.jpg 0`; 0 for training, then 1 for validation, then 2 for test). The bytes depend on the counts
    and the seed, not on `processes`.

    Args:
        folder: an existing folder for the files.
        train, val, test: numbers of faces.
        seed: seed of the data set.
        processes: number of processes that draw.

    Raises:
        UserError: the folder does not exist.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; create it before drawing faces into it")
    partition = [0] * train + [1] * val + [2] * test
    names = [f"{number:06d}.jpg" for number in range(1, len(partition) + 1)]
    with atomic(folder / layout.IMAGES) as archive, zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        faces = jpegs(len(names), seed, processes)
        for name, data in zip(names, tqdm(faces, "faces", len(names), disable=None), strict=True):
            file.writestr(layout.member(layout.CELEBA_FOLDER + name), data)
    layout.write_partition(folder, dict(zip(names, partition, strict=True)))
