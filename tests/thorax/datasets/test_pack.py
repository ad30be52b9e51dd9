"""A dataset in shards is the same dataset: the same manifest, the same bytes, and no change goes unseen."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from thorax.datasets import pack
from thorax.datasets.ingest import load
from thorax.errors import InputError
from thorax.files import digest_file, digest_folder
from thorax.settings import Data

ROWS = [f"{number:08}_000.png,No Finding,0,{number},57,M,PA,24,20,1,1" for number in range(1, 31)]
DATA = Data(source="nih")


@pytest.fixture
def loose(nih: Callable[..., Path]) -> Path:
    return nih(rows=ROWS)


def test_packing_and_unpacking_give_the_same_files(loose: Path, tmp_path: Path) -> None:
    done: list[int] = []
    note = pack.pack(loose, tmp_path / "packed", advance=done.append)
    assert note["images"] == 30 and sum(done) == 31, "images and the table"
    assert pack.is_packed(tmp_path / "packed") and not pack.is_packed(loose)
    assert pack.unpack(tmp_path / "packed", tmp_path / "back") == 30
    assert digest_folder(tmp_path / "back") == digest_folder(loose)


def test_the_same_images_give_the_same_shards_whatever_their_times(loose: Path, tmp_path: Path) -> None:
    first = pack.pack(loose, tmp_path / "one")
    for file in loose.rglob("*.png"):
        file.touch()
    assert pack.pack(loose, tmp_path / "two") == first
    assert digest_folder(tmp_path / "one") == digest_folder(tmp_path / "two")


def test_shards_are_tar_files_of_a_stated_size(loose: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    big = loose / "images" / "00000001_000.png"
    big.write_bytes(big.read_bytes() + b"\0" * (1 << 20))
    note = pack.pack(loose, tmp_path / "packed", shard_mib=1)
    assert [shard["images"] for shard in note["shards"]] == [1, 29]
    names = []
    for shard in note["shards"]:
        file = tmp_path / "packed" / shard["file"]
        assert digest_file(file) == shard["sha256"]
        with tarfile.open(file) as archive:
            names += [member.name for member in archive]
            first = archive.getmembers()[0]
            assert archive.extractfile(first).read() == (loose / first.name).read_bytes()  # type: ignore[union-attr]
    assert names == sorted(path.relative_to(loose).as_posix() for path in loose.rglob("*.png"))


def test_a_packed_dataset_is_read_as_it_is_and_unpacked_once(loose: Path, tmp_path: Path) -> None:
    pack.pack(loose, tmp_path / "packed")
    seen: list[int] = []
    folder = pack.opened(tmp_path / "packed", tmp_path / "var", seen.append)
    assert sum(seen) == 30
    assert pack.opened(tmp_path / "packed", tmp_path / "var", seen.append) == folder
    assert sum(seen) == 30
    assert load(DATA, folder).manifest.equals(load(DATA, loose).manifest)
    assert pack.opened(loose, tmp_path / "var") == loose


def test_a_changed_missing_or_wandering_shard_is_named(loose: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    pack.pack(loose, packed)
    shard = packed / "images-00000.tar"
    content = bytearray(shard.read_bytes())
    content[700] ^= 1
    shard.write_bytes(content)
    with pytest.raises(InputError, match=r"00000001_000\.png in .* changed"):
        pack.unpack(packed, tmp_path / "back")
    assert not (tmp_path / "back").exists()
    shard.unlink()
    with pytest.raises(InputError, match=r"images-00000\.tar is missing\. Run `dvc pull`"):
        pack.unpack(packed, tmp_path / "back")
    with pytest.raises(InputError, match="not packed"):
        pack.unpack(loose, tmp_path / "back")


def test_a_path_that_leads_out_of_the_folder_is_refused(loose: Path, tmp_path: Path) -> None:
    import pandas as pd

    packed = tmp_path / "packed"
    pack.pack(loose, packed)
    index = pd.read_parquet(packed / pack.INDEX)
    index.loc[0, "path"] = "../../escaped.png"
    index.to_parquet(packed / pack.INDEX)
    with pytest.raises(InputError, match="leads out"):
        pack.unpack(packed, tmp_path / "back")
    assert not (tmp_path / "escaped.png").exists()


@pytest.mark.parametrize("place", ["inside", "again", "empty"])
def test_what_cannot_be_packed_is_refused(place: str, loose: Path, tmp_path: Path) -> None:
    if place == "inside":
        with pytest.raises(InputError, match="lie in each other"):
            pack.pack(loose, loose / "packed")
    elif place == "again":
        pack.pack(loose, tmp_path / "packed")
        with pytest.raises(InputError, match="packed already"):
            pack.pack(tmp_path / "packed", tmp_path / "twice")
    else:
        (tmp_path / "empty").mkdir()
        with pytest.raises(InputError, match="holds no image"):
            pack.pack(tmp_path / "empty", tmp_path / "packed")
    note = tmp_path / "packed" / pack.NOTE
    if note.is_file():
        note.write_text(json.dumps({"version": 9}))
        with pytest.raises(InputError, match="layout 9"):
            pack.unpack(tmp_path / "packed", tmp_path / "back")
