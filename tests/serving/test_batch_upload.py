"""Many files at once: each has its own answer, and no archive makes the service do what it should not."""

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from serving.pointer import Pointer, write_pointer
from serving.runtime import Runtime
from serving.unpacking import Bounds, unpack
from serving.upload import Upload
from thorax.errors import ImageError, InputError
from thorax.prediction_log import count, read_log

BOUNDS = Bounds(files=5, file_bytes=100_000, bytes=250_000)


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def test_files_and_archives_side_by_side_each_have_an_answer(
    client: TestClient, phantom: bytes, runtime: Runtime
) -> None:
    archive = zipped({"a/one.png": phantom, "notes.txt": b"no image", "a/two.png": phantom})
    files = [("file", ("Jane.png", phantom)), ("file", ("all.zip", archive)), ("file", ("empty", b""))]
    answer = client.post("/predict_batch", files=files)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["answered"], found["refused"]) == (3, 2)
    assert [one["index"] for one in found["answers"]] == [0, 1, 2, 3, 4]
    assert [one["name"] for one in found["answers"]] == ["Jane.png", "a/one.png", "notes.txt", "a/two.png", "empty"]
    assert "not a PNG" in found["answers"][2]["error"]
    assert "empty" in found["answers"][4]["error"]
    single = client.post("/predict", files={"file": phantom}).json()
    for index in (0, 1, 3):
        assert found["answers"][index]["prediction"]["findings"] == single["findings"]
    log = read_log(runtime.log)
    assert len(log) == 4
    assert {one["prediction"]["request_id"] for one in found["answers"] if one["prediction"]} < set(log["request_id"])


@pytest.mark.parametrize(
    ("files", "status", "said"),
    [
        ([("file", b"x")] * 7, 400, "more than 4 files"),
        ([("file", zipped({f"{n}.png": b"x" for n in range(7)}))], 400, "holds 7 files, and 4 are allowed"),
        ([("file", b"PK\x03\x04" + b"\0" * 60)], 400, "archive is damaged"),
        ([("file", zipped({}))], 400, "holds no file"),
        ([("picture", b"x")], 400, "Unknown field 'picture'"),
        ([("file", (None, "http://example.org/a.zip"))], 400, "is text, not a file"),
        ([("file", b"x" * (3 << 20))], 413, "larger than 2 MiB"),
    ],
)
def test_a_batch_that_is_refused_as_a_whole_says_why(
    runtime: Runtime,
    sample_bundle: Path,
    start: Callable[[], TestClient],
    files: list,
    status: int,
    said: str,
) -> None:
    write_pointer(runtime.pointer, Pointer(bundle=sample_bundle))
    limits = {"max_batch_files": 4, "max_batch_bytes": 2 << 20}
    runtime.model_copy(update=limits).write(runtime.folder / "runtime.json")
    answer = start().post("/predict_batch", files=files)
    assert (answer.status_code, said in answer.json()["error"]) == (status, True), answer.text
    assert count(runtime.log) == 0


def test_without_a_model_a_batch_is_refused(start: Callable[[], TestClient], phantom: bytes) -> None:
    assert start().post("/predict_batch", files=[("file", phantom)]).status_code == 503


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..\\..\\x.png", "C:\\x.png", "a/../../b.png"])
def test_a_name_that_leads_out_is_refused_and_its_neighbour_is_not(name: str) -> None:
    found = unpack([Upload("z", zipped({name: b"x", "good.png": b"y"}))], BOUNDS)
    assert isinstance(found[0].content, ImageError)
    assert "leads out" in str(found[0].content)
    assert found[1].content == b"y"


def test_bombs_are_stopped_by_what_comes_out_not_by_what_they_claim() -> None:
    dense = zipped({"bomb.png": b"\0" * 90_000})
    (found,) = unpack([Upload("z", dense)], BOUNDS)
    assert "200 times" in str(found.content)
    large = zipped({"large.png": np.random.default_rng(0).bytes(120_000)})
    (found,) = unpack([Upload("z", large)], BOUNDS)
    assert "larger than" in str(found.content)
    # The same with a directory that lies about sizes: 10 bytes claimed.
    liar = bytearray(zipped({"bomb.png": b"\0" * 90_000}))
    at = bytes(liar).rindex(b"PK\x01\x02")
    liar[at + 24 : at + 28] = struct.pack("<I", 10)
    (found,) = unpack([Upload("z", bytes(liar))], BOUNDS)
    assert isinstance(found.content, ImageError)
    with pytest.raises(InputError, match="unpacks to more"):
        unpack([Upload("z", np.random.default_rng(n).bytes(90_000)) for n in range(4)], BOUNDS)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_rare_methods_are_refused_unpacked(method: int) -> None:
    (found,) = unpack([Upload("z", zipped({"a.png": b"x" * 500}, method))], BOUNDS)
    assert "rare method" in str(found.content)


def test_encrypted_and_nested_archives_are_refused(client: TestClient, phantom: bytes) -> None:
    locked = bytearray(zipped({"a.png": phantom}))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = bytes(locked).index(mark)
        locked[at + offset] |= 1
    nested = zipped({"inner.zip": zipped({"a.png": phantom})})
    answer = client.post("/predict_batch", files=[("file", bytes(locked)), ("file", nested)]).json()
    assert answer["answered"] == 0
    assert "encrypted" in answer["answers"][0]["error"]
    assert "archive inside an archive" in answer["answers"][1]["error"]


def test_mutated_archives_are_answered_or_refused(client: TestClient, phantom: bytes) -> None:
    rng = np.random.default_rng(3)
    seed = zipped({"a.png": phantom, "b.png": b"x" * 50})
    for _ in range(60):
        data = bytearray(seed)
        for _ in range(int(rng.integers(1, 4))):
            data[int(rng.integers(0, len(data)))] = int(rng.integers(0, 256))
        answer = client.post("/predict_batch", files=[("file", bytes(data))])
        assert answer.status_code in (200, 400), answer.text
    assert client.post("/predict_batch", files=[("file", seed)]).json()["answered"] == 1


def test_an_upload_touches_no_disk(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A form's larger files would go to a temporary file otherwise."""
    import tempfile

    rolled = []
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", lambda self: rolled.append(self))
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, format="TIFF")
    assert len(stream.getvalue()) > 950_000
    assert client.post("/predict", files={"file": stream.getvalue()}).status_code == 200
    archive = zipped({"a.tif": stream.getvalue(), "b.tif": stream.getvalue()}, zipfile.ZIP_STORED)
    assert len(archive) > (1 << 20)
    assert client.post("/predict_batch", files=[("file", archive)]).json()["answered"] == 2
    assert rolled == []
