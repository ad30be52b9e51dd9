"""PNG files (ISO/IEC 15948) packed quickly rather than tightly: packing is most of what drawing an overlay costs.

One filter (each row less the one above) and Intel's igzip: a fifth of the time that zlib takes at its
fastest, for a file a tenth smaller.
"""

import struct

import numpy as np
from isal import isal_zlib

_COLOUR_TYPE = {1: 0, 3: 2, 4: 6}
_UP = 2


def png(pixels: np.ndarray) -> bytes:
    """Return a picture as the bytes of a PNG file.

    Args:
        pixels: uint8 of shape (H, W), (H, W, 3) for RGB or (H, W, 4) for RGBA; not empty.
    """
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    flat = np.ascontiguousarray(pixels).reshape(height, width * channels)
    rows = np.empty((height, 1 + width * channels), np.uint8)
    rows[:, 0] = _UP
    rows[0, 1:] = flat[0]
    np.subtract(flat[1:], flat[:-1], out=rows[1:, 1:])
    data = isal_zlib.compress(rows.data, level=1)
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPE[channels], 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", isal_zlib.crc32(body, isal_zlib.crc32(kind)))
