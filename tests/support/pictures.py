"""Images of all kinds, and color profiles, made in memory."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # of a PNG, by the number of channels
DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
D50 = (0.9642, 1.0, 0.8249)


def smooth(height: int = 40, width: int = 56) -> np.ndarray:
    """A colorful image without noise, (H, W, 3), uint8, with no symmetry."""
    y, x = np.mgrid[:height, :width]
    waves = [120 + 90 * np.sin(x / (5 + c) + y / (9 - c) + c) + 0.4 * x for c in range(3)]
    return np.clip(np.stack(waves, axis=-1), 0, 255).astype(np.uint8)


def png16(pixels: np.ndarray, **chunks: bytes) -> bytes:
    """A PNG of 16 bits a channel, which Pillow cannot write, (H, W) or (H, W, C)."""
    height, width, channels = (*pixels.shape, 1)[:3]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, COLOR_TYPES[channels], 0, 0, 0)
    extra = b"".join(_chunk(name.encode(), data) for name, data in chunks.items())
    body = _chunk(b"IHDR", head) + extra + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def rgb_profile(colorants: tuple[tuple[float, float, float], ...] = DISPLAY_P3, gamma: float = 2.2) -> bytes:
    """A matrix profile, as phones and monitors have: Display P3's colors, with a plain power as its curve."""
    tags = {name + b"XYZ": _xyz(color) for name, color in zip((b"r", b"g", b"b"), colorants, strict=True)}
    return _profile(b"mntr", b"RGB ", tags | {name + b"TRC": _power(gamma) for name in (b"r", b"g", b"b")})


def gray_profile(gamma: float = 1.0) -> bytes:
    return _profile(b"mntr", b"GRAY", {b"kTRC": _power(gamma)})


def cmyk_profile() -> bytes:
    """A profile of four inks: paper is white, black ink makes black; between them, something plausible."""
    inks = np.array(np.meshgrid(*[[0, 1]] * 4, indexing="ij")).reshape(4, -1).T  # C, M, Y, K
    light = np.prod(1 - inks * (0.35, 0.5, 0.12, 0.97), axis=1)
    lab = [light, 0.5 + 0.2 * (inks[:, 1] - inks[:, 0]) * light, 0.5 + 0.25 * (inks[:, 2] - inks[:, 0] / 2) * light]
    corners = np.array(np.meshgrid(*[[0, 1]] * 3, indexing="ij")).reshape(3, -1).T  # L, a, b
    back = [(1 - corners[:, 1]) / 2, corners[:, 1] / 2, corners[:, 2] / 2, 1 - corners[:, 0]]
    tables = {b"A2B0": _table(4, np.stack(lab, axis=1)), b"B2A0": _table(3, np.stack(back, axis=1))}
    return _profile(b"prtr", b"CMYK", tables, b"Lab ")


def _table(inputs: int, values: np.ndarray) -> bytes:
    outputs = values.shape[1]
    ramp = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 * np.eye(3, dtype=int)).ravel())
    grid = np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8).tobytes()
    head = struct.pack(">4s4xBBBx", b"mft1", inputs, outputs, 2)
    return head + matrix + inputs * ramp + grid + outputs * ramp


def _xyz(color: tuple[float, ...]) -> bytes:
    return struct.pack(">4s4x3i", b"XYZ ", *(round(65536 * value) for value in color))


def _power(gamma: float) -> bytes:
    return struct.pack(">4s4xIHxx", b"curv", 1, round(256 * gamma))


def _profile(kind: bytes, space: bytes, tags: dict[bytes, bytes], connection: bytes = b"XYZ ") -> bytes:
    name = b"A test\0"
    described = struct.pack(">4s4xI", b"desc", len(name)) + name + bytes(78 + -(len(name) + 90) % 4)
    tags = {b"desc": described, b"cprt": b"text\0\0\0\0None\0\0\0\0", b"wtpt": _xyz(D50), **tags}
    table, data = struct.pack(">I", len(tags)), b""
    for tag, value in tags.items():
        padded = value + bytes(-len(value) % 4)
        table += struct.pack(">4sII", tag, 132 + 12 * len(tags) + len(data), len(value))
        data += padded
    size = 132 + 12 * len(tags) + len(data)
    head = struct.pack(">I4xI4s4s4s", size, 0x02400000, kind, space, connection)
    head += struct.pack(">6H4s4x4s", 2026, 1, 1, 0, 0, 0, b"acsp", b"")  # date, signature
    head = head.ljust(64, b"\0") + struct.pack(">I3i", 0, *(round(65536 * value) for value in D50))
    return head.ljust(128, b"\0") + table + data
