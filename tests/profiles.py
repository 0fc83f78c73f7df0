"""Colour profiles (ICC) that tests embed, and the colours that they mean by the textbook.

The profiles are written here byte by byte, and the expected colours are computed with NumPy, so
that LittleCMS is compared with something else than itself.
"""

import itertools
import struct
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
D50 = (0.9642, 1.0, 0.8249)
# From linear red, green and blue to XYZ under D50. Source: http://www.brucelindbloom.com.
SRGB = [[0.43607, 0.38506, 0.14308], [0.22250, 0.71688, 0.06062], [0.01393, 0.09710, 0.71417]]
ADOBE = [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]
P3 = [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]


def srgb_curve(value: Floats) -> Floats:
    """Return the linear light of encoded values, 0 to 1."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def adobe_curve(value: Floats) -> Floats:
    return np.asarray(value**2.19921875)


def _xyz(value: tuple[float, ...] | Floats) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in value))


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += name + struct.pack(">II", start + len(body), len(padded))
        body += padded
    head = struct.pack(
        ">II4s4s4s4s12s4s", start + len(body), 0, b"\2\x40\0\0", kind, space, connection,
        struct.pack(">6H", 2026, 1, 1, 0, 0, 0), b"acsp",
    )  # fmt: skip
    head += bytes(28) + _xyz(D50)[8:]
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _curve(linear: Callable[[Floats], Floats], points: int = 1024) -> bytes:
    values = np.rint(linear(np.linspace(0, 1, points)) * 65535).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", len(values)) + values.tobytes()


def rgb_profile(
    matrix: list[list[float]], linear: Callable[[Floats], Floats], points: int = 1024
) -> bytes:
    columns = np.array(matrix).T
    tags = {b"wtpt": _xyz(D50)}
    tags |= {
        name + b"XYZ": _xyz(xyz) for name, xyz in zip((b"r", b"g", b"b"), columns, strict=True)
    }
    tags |= {name + b"TRC": _curve(linear, points) for name in (b"r", b"g", b"b")}
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def grey_profile(linear: Callable[[Floats], Floats]) -> bytes:
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": _xyz(D50), b"kTRC": _curve(linear)})


# What each ink of our press prints alone, as L, a, b; two inks give the mean of both, darker.
INKS = {0: (60.0, 50.0, 30.0), 1: (50.0, -40.0, 40.0), 2: (40.0, 10.0, -50.0)}


def press_colour(inks: tuple[int, ...]) -> tuple[float, float, float]:
    """Return L, a, b of a patch whose inks C, M, Y, K are each 0 or 1."""
    if inks[3] or sum(inks) == 3:
        return 0.0, 0.0, 0.0
    printed = [INKS[ink] for ink in range(3) if inks[ink]]
    if not printed:
        return 100.0, 0.0, 0.0
    lightness, a, b = np.mean(printed, axis=0) / len(printed)
    return float(lightness), float(a), float(b)


def cmyk_profile() -> bytes:
    lab = np.array([press_colour(inks) for inks in itertools.product((0, 1), repeat=4)])
    corners = np.rint((lab + np.array([0, 128, 128])) * (652.8, 256, 256)).astype(">u2")
    identity = struct.pack(">9i", *(np.eye(3, dtype=int).ravel() * 65536))
    line = struct.pack(">2H", 0, 65535)
    lut = b"mft2\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + struct.pack(">HH", 2, 2)
    lut += 4 * line + corners.tobytes() + 3 * line
    tags = {b"wtpt": _xyz(D50), b"A2B0": lut, b"A2B1": lut}
    return _profile(b"prtr", b"CMYK", b"Lab ", tags)


def _encoded(xyz: Floats) -> Floats:
    """Return sRGB, 0 to 255, of colours (..., 3) in XYZ under D50."""
    light = np.clip(xyz @ np.linalg.inv(np.array(SRGB)).T, 0, 1)
    value = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(value * 255)


def srgb_of_rgb(
    pixels: npt.NDArray[np.uint8], matrix: list[list[float]], linear: Callable[[Floats], Floats]
) -> Floats:
    return _encoded(linear(pixels / 255) @ np.array(matrix).T)


def srgb_of_lab(lab: tuple[float, float, float]) -> Floats:
    """Source: CIE 15, the definition of L*a*b*."""
    y = (lab[0] + 16) / 116
    f = np.array([y + lab[1] / 500, y, y - lab[2] / 200])
    return _encoded(np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * D50)
