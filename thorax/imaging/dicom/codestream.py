"""What a compressed DICOM frame says of itself: its size, and how it is compressed.

A decoder allocates by the header inside the stream, not by the DICOM header around it; the two must agree before it
runs. And some files declare another compression than they have.
"""

import struct

#: The tag of an item in encapsulated pixel data (PS3.5 A.4).
ITEM = b"\xfe\xff\x00\xe0"
_JPEG_START, _JPEG_SCAN = b"\xff\xd8", 0xDA
# Frame headers of every JPEG process, and of JPEG-LS (ISO 10918-1 table B.1, ISO 14495-1 C.1.1).
_FRAME_HEADERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_J2K_SIZE, _J2K_CAPABILITIES = b"\xff\x4f\xff\x51", b"\xff\x50"
_JXL = (b"\xff\x0a", b"\x00\x00\x00\x0cJXL ")
_UID = "1.2.840.10008.1.2."
#: Transfer syntaxes a kind of stream; the first is named where a file declares none of them.
_SYNTAXES = {
    "baseline": ("4.50", "4.51"),
    "extended": ("4.51", "4.50"),
    "lossless": ("4.70", "4.57"),
    "jpeg-ls": ("4.80", "4.81"),
    "jpeg-2000": ("4.90", "4.91", "4.92", "4.93"),
    "htj2k": ("4.201", "4.202", "4.203"),
    "jpeg-xl": ("4.110", "4.111", "4.112"),
}


def size_inside(pixel_data: bytes) -> tuple[int, int] | None:
    """Return (width, height) of the JPEG, JPEG-LS or JPEG 2000 stream in encapsulated pixel data.

    Returns None where the data are raw or RLE, whose size only the DICOM header tells.
    """
    frame = _first_frame(pixel_data)
    if frame is None:
        return None
    if frame.startswith(_JPEG_START):
        header = _jpeg_header(frame)
        return header[1] if header else None
    # A JP2 container holds the code stream somewhere behind its boxes.
    position = frame.find(_J2K_SIZE, 0, 4096)
    if position < 0 or len(frame) < position + 24:
        return None
    width, height, left, top = struct.unpack_from(">4I", frame, position + 8)
    return width - left, height - top


def syntax(pixel_data: bytes, declared: str) -> str:
    """Return the transfer syntax of encapsulated pixel data: the declared one where the stream agrees, else its own.

    Args:
        pixel_data: encapsulated frames.
        declared: what the file says; "" where it says nothing, or says that they are not compressed.
    """
    frame = _first_frame(pixel_data) or b""
    kind = None
    if frame.startswith(_JPEG_START):
        kind = (_jpeg_header(frame) or (None,))[0]
    elif frame.startswith(_JXL):
        kind = "jpeg-xl"
    elif (position := frame.find(_J2K_SIZE, 0, 4096)) >= 0:
        length = struct.unpack_from(">H", frame, position + 4)[0]
        high = frame[position + 4 + length :].startswith(_J2K_CAPABILITIES)
        kind = "htj2k" if high else "jpeg-2000"
    if kind is None:
        return declared or _UID + "5"  # run lengths have no signature
    known = [_UID + part for part in _SYNTAXES[kind]]
    return declared if declared in known else known[0]


def _first_frame(pixel_data: bytes) -> bytes | None:
    """Return the encapsulated data behind the basic offset table; None where they are not encapsulated."""
    if pixel_data[:4] != ITEM:
        return None
    table = struct.unpack_from("<I", pixel_data, 4)[0] if len(pixel_data) >= 8 else 0
    return pixel_data[8 + table + 8 :]


def _jpeg_header(frame: bytes) -> tuple[str | None, tuple[int, int]] | None:
    """Return the process and (width, height) that the frame header names; None where there is none before the scan."""
    position = 2
    while position + 9 <= len(frame) and frame[position] == 0xFF:
        marker = frame[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in _FRAME_HEADERS:
            height, width = struct.unpack_from(">HH", frame, position + 5)
            process = {0xC0: "baseline", 0xC3: "lossless", 0xF7: "jpeg-ls"}.get(marker, "extended")
            return process, (width, height)
        if marker == _JPEG_SCAN:
            return None
        position += 2 + struct.unpack_from(">H", frame, position + 2)[0]
    return None
