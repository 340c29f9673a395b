"""An image result: a PNG drawn with the standard library alone."""

import struct
import zlib
from typing import Annotated, Any, Final

from pydantic import Field

from agent_server import tool

_WIDTH, _HEIGHT, _MARGIN = 480, 240, 16
_WHITE: Final = b"\xff\xff\xff"
_GREY: Final = b"\x88\x88\x88"
_COLOURS: Final = (b"\x2f\x6f\xdf", b"\xe0\x7a\x1f", b"\x2e\x9e\x5b", b"\xb0\x3a\x8c")

Amount = Annotated[float, Field(ge=0, le=1e12)]


@tool(effects="none", timeout_s=10, input_examples=[{"values": {"Mon": 3, "Tue": 7.5, "Wed": 5}}])
def bar_chart(
    values: Annotated[dict[str, Amount], Field(min_length=1, max_length=40)],
) -> list[str | dict[str, Any]]:
    """Draw a bar chart and show it as an image, with a legend as text.

    Args:
        values: A number, zero or more, for each label, in the order of the bars.
    """
    legend = "\n".join(f"{label}: {value:g}" for label, value in values.items())
    image = {
        "type": "image",
        "source": {
            "type": "base64",
            "media_type": "image/png",
            "data": _png(_draw(list(values.values()))),
        },
    }
    return [f"Bars from left to right:\n{legend}", image]


def _draw(values: list[float]) -> list[bytearray]:
    """Draw bars on white, over a grey baseline; a row of pixels is RGB bytes."""
    rows = [bytearray(_WHITE * _WIDTH) for _ in range(_HEIGHT)]
    bottom = _HEIGHT - _MARGIN
    slot = (_WIDTH - 2 * _MARGIN) // len(values)
    scale = (bottom - _MARGIN) / (max(values) or 1)
    for index, value in enumerate(values):
        left = _MARGIN + index * slot + 1
        right = max(left + 1, left + slot - 3)
        colour = _COLOURS[index % len(_COLOURS)]
        for y in range(bottom - round(value * scale), bottom):
            rows[y][3 * left : 3 * right] = colour * (right - left)
    rows[bottom][3 * _MARGIN : -3 * _MARGIN] = _GREY * (_WIDTH - 2 * _MARGIN)
    return rows


def _png(rows: list[bytearray]) -> bytes:
    """Encode rows of RGB pixels (PNG specification, third edition)."""
    header = struct.pack(">IIBBBBB", len(rows[0]) // 3, len(rows), 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\x00" + row for row in rows), 9)
    chunks = [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
