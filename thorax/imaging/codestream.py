"""The size that a compressed DICOM frame claims for itself.

A decoder allocates by the header inside the stream, not by the DICOM header around it; the two must agree before it
runs.
"""

import struct

_JPEG_START, _JPEG_SCAN = b"\xff\xd8", 0xDA
# Frame headers of every JPEG process, and of JPEG-LS (ISO 10918-1 table B.1, ISO 14495-1 C.1.1).
_FRAME_HEADERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_J2K_SIZE = b"\xff\x4f\xff\x51"


def size_inside(pixel_data: bytes) -> tuple[int, int] | None:
    """Return (width, height) of the JPEG, JPEG-LS or JPEG 2000 stream in encapsulated pixel data.

    Returns None where the data are raw or RLE, whose size only the DICOM header tells.
    """
    if pixel_data[:4] != b"\xfe\xff\x00\xe0":  # no item tag of a basic offset table: not encapsulated
        return None
    table = struct.unpack_from("<I", pixel_data, 4)[0] if len(pixel_data) >= 8 else 0
    frame = pixel_data[8 + table + 8 :]
    if frame.startswith(_JPEG_START):
        return _jpeg_size(frame)
    # A JP2 container holds the code stream somewhere behind its boxes.
    position = frame.find(_J2K_SIZE, 0, 4096)
    if position < 0 or len(frame) < position + 24:
        return None
    width, height, left, top = struct.unpack_from(">4I", frame, position + 8)
    return width - left, height - top


def _jpeg_size(frame: bytes) -> tuple[int, int] | None:
    position = 2
    while position + 9 <= len(frame) and frame[position] == 0xFF:
        marker = frame[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in _FRAME_HEADERS:
            height, width = struct.unpack_from(">HH", frame, position + 5)
            return width, height
        if marker == _JPEG_SCAN:
            return None
        position += 2 + struct.unpack_from(">H", frame, position + 2)[0]
    return None
