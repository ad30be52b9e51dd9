"""Files that no service should have to see: mutants of every format it reads, and tricks by name. All from seeds."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

_SMALL = 400_000  # bytes: larger files are not mutated, as copying them is all that would be measured


def seeds(real: Path | None = None, most: int = 60) -> list[bytes]:
    """Return whole files to start from: drawn ones of every format, and real ones where a folder is given.

    Args:
        real: a folder of radiographs and DICOM files.
        most: so many real files, evenly over the folder.
    """
    rng = np.random.default_rng(5)
    grey = (rng.random((96, 80)) * 255).astype(np.uint8)
    deep = (rng.random((64, 64)) * 65535).astype(np.uint16)
    colour = (rng.random((64, 64, 4)) * 255).astype(np.uint8)
    drawn = [encoded(grey, "PNG"), encoded(deep, "PNG"), encoded(colour, "PNG"), encoded(grey, "JPEG")]
    drawn += [encoded(grey, "TIFF"), dicom(grey)]
    if real is None:
        return drawn
    files = sorted(path for path in real.rglob("*") if path.is_file() and path.stat().st_size < _SMALL)
    kinds = {".png", ".jpg", ".jpeg", ".dcm", ".tif", ""}
    files = [path for path in files if path.suffix.lower() in kinds]
    return drawn + [path.read_bytes() for path in files[:: max(1, len(files) // most)][:most]]


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    """Return an image file of Pillow's format `kind`."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format=kind)
    return stream.getvalue()


def dicom(pixels: np.ndarray) -> bytes:
    """Return a small Digital X-Ray file that names a patient, of uint8 pixels (H, W)."""
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

    data = pydicom.Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = DigitalXRayImageStorageForPresentation
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid(entropy_srcs=["thorax"])
    data.Modality, data.PhotometricInterpretation = "DX", "MONOCHROME2"
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.BitsAllocated, data.BitsStored, data.HighBit = 1, 8, 8, 7
    data.PixelRepresentation = 0
    data.PatientName = "Nobody^At^All"
    data.PixelData = pixels.tobytes()
    stream = io.BytesIO()
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def mutants(files: Sequence[bytes], count: int, seed: int = 17) -> Iterator[bytes]:
    """Flip, cut, repeat, overwrite and splice; the same ones for the same seed."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        data = bytearray(files[number % len(files)])
        for _ in range(int(rng.integers(1, 6))):
            at = int(rng.integers(0, max(1, min(len(data), 400) if rng.random() < 0.6 else len(data))))
            match int(rng.integers(0, 6)):
                case 0 if data:
                    data[min(at, len(data) - 1)] ^= 1 << int(rng.integers(0, 8))
                case 1:
                    del data[at:]
                case 2:
                    del data[at : at + int(rng.integers(1, 50))]
                case 3:
                    data[at:at] = data[at : at + int(rng.integers(1, 200))]
                case 4:
                    data[at : at + 4] = struct.pack(">I", int(rng.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF])))
                case _:
                    other = files[int(rng.integers(0, len(files)))]
                    data[at:] = other[min(at, len(other)) :]
        yield bytes(data)


def tricks() -> dict[str, bytes]:
    """Return known tricks by name; each must be refused, in a moment and without memory."""
    return {
        "png of 900 megapixels": png_bomb(30_000, 30_000),
        "png of no size": png_bomb(0, 0),
        "png of one endless row": png_bomb(2**31 - 1, 1),
        "zip that climbs": zipped("../../etc/passwd"),
        "zip bomb": zip_bomb(),
        "gif": b"GIF89a" + b"\0" * 100,
        "png without chunks": b"\x89PNG\r\n\x1a\n",
        "jpeg of markers": b"\xff\xd8\xff" * 1000,
        "jpeg of 65,500 × 65,500 px": jpeg_bomb(),
        "tiff that points nowhere": b"II*\x00" + struct.pack("<I", 8) + b"\xff" * 200,
        "tiff that points at itself": b"II*\x00" + struct.pack("<IHHHIII", 8, 1, 256, 4, 1, 8, 8),
        "dicom without a dataset": b"\0" * 128 + b"DICM",
        "dicom of noise": b"\0" * 128 + b"DICM" + b"\xff" * 500,
        "dicom that claims 4 GB of pixels": dicom_bomb(),
        "deflated dicom bomb": deflated_bomb(),
        "zip in a zip": zipped("a.zip", zipped("a.png")),
        "pdf": b"%PDF-1.7",
        "xml with an entity": b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        "program": b"\x7fELF" + b"\0" * 200,
        "pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
        "one byte": b"\0",
        "nothing": b"",
    }


def png_bomb(width: int, height: int) -> bytes:
    """Return a PNG file of a few bytes that claims to be huge."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100_000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def jpeg_bomb() -> bytes:
    """Return a JPEG file whose header claims 65,500 px a side."""
    data = bytearray(encoded(np.zeros((16, 16), np.uint8), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 65_500, 65_500)
    return bytes(data)


def dicom_bomb() -> bytes:
    """Return a DICOM file of a few bytes that claims 65,535 rows and columns."""
    data = dicom(np.zeros((16, 16), np.uint8))
    for tag in (b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x11\x00US\x02\x00"):
        at = data.index(tag) + len(tag)
        data = data[:at] + b"\xff\xff" + data[at + 2 :]
    return data


def deflated_bomb() -> bytes:
    """Return a deflated DICOM file of 16 × 16 px behind which 200 MB of zeros are packed."""
    plain = dicom(np.zeros((16, 16), np.uint8))
    name = b"\x02\x00\x10\x00UI"
    at = plain.index(name) + len(name)
    syntax = b"1.2.840.10008.1.2.1.99"
    end = 144 + struct.unpack("<I", plain[140:144])[0]
    behind = plain[at + 2 + struct.unpack("<H", plain[at : at + 2])[0] : end]
    meta = plain[144:at] + struct.pack("<H", len(syntax)) + syntax + behind
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = packer.compress(plain[end:]) + packer.compress(b"\0" * (200 << 20)) + packer.flush()
    return plain[:140] + struct.pack("<I", len(meta)) + meta + body


def zipped(name: str, content: bytes = b"x") -> bytes:
    """Return a zip file with one member."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def zip_bomb() -> bytes:
    """Return a zip file of about 400 kB that unpacks to 400 MB."""
    return zipped("a.png", bytes(400 << 20))
