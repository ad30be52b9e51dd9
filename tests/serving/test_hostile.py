"""Whatever is sent, the service answers or refuses with a reason; it never fails inside, and it stays up.

`THORAX_HOSTILE=10000` sends that many mutants; a few hundred are enough to notice a change.
"""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

COUNT = int(os.environ.get("THORAX_HOSTILE", "300"))
pytestmark = pytest.mark.slow


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format=kind)
    return stream.getvalue()


def dicom(pixels: np.ndarray) -> bytes:
    """Return a small Digital X-Ray file."""
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    data = pydicom.Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.Modality, data.PhotometricInterpretation = "DX", "MONOCHROME2"
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.BitsAllocated, data.BitsStored, data.HighBit = 1, 8, 8, 7
    data.PixelRepresentation = 0
    data.PatientName = "Nobody^At^All"
    data.PixelData = pixels.tobytes()
    stream = io.BytesIO()
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def corpus() -> list[bytes]:
    rng = np.random.default_rng(5)
    grey = (rng.random((96, 80)) * 255).astype(np.uint8)
    deep = (rng.random((64, 64)) * 65535).astype(np.uint16)
    colour = (rng.random((64, 64, 4)) * 255).astype(np.uint8)
    return [
        encoded(grey, "PNG"),
        encoded(deep, "PNG"),
        encoded(colour, "PNG"),
        encoded(grey, "JPEG"),
        encoded(grey, "TIFF"),
        dicom(grey),
    ]


def mutants(seeds: list[bytes], count: int) -> Iterator[bytes]:
    """Flip, cut, repeat, overwrite and splice, from a fixed seed."""
    rng = np.random.default_rng(17)
    for number in range(count):
        data = bytearray(seeds[number % len(seeds)])
        for _ in range(int(rng.integers(1, 6))):
            at = int(rng.integers(0, max(1, min(len(data), 400) if rng.random() < 0.6 else len(data))))
            match int(rng.integers(0, 6)):
                case 0 if data:
                    data[at] ^= 1 << int(rng.integers(0, 8))
                case 1:
                    del data[at:]
                case 2:
                    del data[at : at + int(rng.integers(1, 50))]
                case 3:
                    data[at:at] = data[at : at + int(rng.integers(1, 200))]
                case 4:
                    data[at : at + 4] = struct.pack(">I", int(rng.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF])))
                case _:
                    other = seeds[int(rng.integers(0, len(seeds)))]
                    data[at:] = other[min(at, len(other)) :]
        yield bytes(data)


def bomb(width: int, height: int) -> bytes:
    """Return a PNG file of a few bytes that claims to be huge."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100_000))
        + chunk(b"IEND", b"")
    )


def zipped(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, b"x")
    return stream.getvalue()


def test_mutants_are_answered_or_refused_with_a_reason(client: TestClient, phantom: bytes) -> None:
    found: dict[int, int] = {}
    for number, data in enumerate(mutants([*corpus(), phantom], COUNT)):
        answer = client.post("/predict", files={"file": data})
        found[answer.status_code] = found.get(answer.status_code, 0) + 1
        assert answer.status_code in (200, 400, 413), (number, answer.status_code, answer.text)
        if answer.status_code != 200:
            assert len(answer.json()["error"]) > 10
            assert "Traceback" not in answer.text
            assert "/site-packages" not in answer.text
    assert found[200] > 0
    assert found[400] > 0
    assert client.post("/predict", files={"file": phantom}).status_code == 200


@pytest.mark.parametrize(
    "data",
    [
        bomb(30_000, 30_000),
        bomb(0, 0),
        bomb(2**31 - 1, 1),
        zipped("../../etc/passwd"),
        b"GIF89a" + b"\0" * 100,
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff" * 1000,
        b"II*\x00" + struct.pack("<I", 8) + b"\xff" * 200,
        b"\0" * 128 + b"DICM",
        b"\0" * 128 + b"DICM" + b"\xff" * 500,
        b"%PDF-1.7",
        b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
    ],
)
def test_known_tricks_are_refused(client: TestClient, data: bytes) -> None:
    answer = client.post("/predict", files={"file": ("../../x.png", data)})
    assert answer.status_code == 400, answer.text


def test_the_name_of_a_patient_in_a_file_goes_nowhere(client: TestClient, tmp_path: Path, runtime) -> None:
    grey = (np.random.default_rng(0).random((96, 80)) * 255).astype(np.uint8)
    answer = client.post("/predict", files={"file": ("Nobody.dcm", dicom(grey))})
    assert answer.status_code == 200
    assert "Nobody" not in answer.text
    for path in runtime.folder.rglob("*"):
        if path.is_file():
            assert b"Nobody" not in path.read_bytes(), path
