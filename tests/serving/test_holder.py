"""A worker's model is replaced whole, and only by one that proves itself."""

import shutil
import time
from pathlib import Path

import pytest

from serving.holder import Holder
from serving.pointer import Pointer, read_pointer, write_pointer
from thorax.errors import BundleError


@pytest.fixture
def other_bundle(sample_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sample_bundle, tmp_path / "other"))


@pytest.fixture
def pointer(tmp_path: Path) -> Path:
    return tmp_path / "pointer.json"


def test_without_a_pointer_there_is_nothing_and_it_says_what_to_do(pointer: Path) -> None:
    holder = Holder(pointer, 60)
    assert not holder.ready
    with pytest.raises(BundleError, match="No model is being served yet") as raised:
        holder.get()
    assert "thorax pipeline run" in raised.value.mend
    holder.close()


def test_a_new_pointer_swaps_and_what_began_keeps_its_model(
    pointer: Path, sample_bundle: Path, other_bundle: Path
) -> None:
    write_pointer(pointer, Pointer(bundle=sample_bundle, version="1"))
    holder = Holder(pointer, 0.02)
    began = holder.get()
    write_pointer(pointer, Pointer(bundle=other_bundle, version="2"))
    deadline = time.monotonic() + 10
    while holder.get().version == "1" and time.monotonic() < deadline:
        time.sleep(0.02)
    assert holder.get().version == "2"
    assert holder.swaps == 1
    assert began.version == "1"
    assert began.run(began.inputs([]))[0].shape == (0, 3)
    holder.close()


@pytest.mark.parametrize("harm", ["model.onnx", "calibration.json", "bundle.json"])
def test_a_bad_bundle_leaves_the_old_one_serving_and_tells(
    pointer: Path, sample_bundle: Path, other_bundle: Path, tmp_path: Path, harm: str
) -> None:
    bad = Path(shutil.copytree(other_bundle, tmp_path / "bad"))
    (bad / harm).write_bytes((bad / harm).read_bytes()[:-20])
    write_pointer(pointer, Pointer(bundle=sample_bundle, version="1"))
    holder = Holder(pointer, 60)
    write_pointer(pointer, Pointer(bundle=bad, version="2"))
    assert not holder.look()
    assert holder.get().version == "1"
    assert holder.problem is not None
    assert harm in holder.problem.message
    write_pointer(pointer, Pointer(bundle=other_bundle, version="3"))
    assert holder.look()
    assert (holder.get().version, holder.problem) == ("3", None)
    holder.close()


def test_a_damaged_pointer_leaves_the_old_one_serving(pointer: Path, sample_bundle: Path) -> None:
    write_pointer(pointer, Pointer(bundle=sample_bundle, version="1"))
    holder = Holder(pointer, 60)
    pointer.write_text("{")
    assert not holder.look()
    assert holder.get().version == "1"
    assert holder.problem is not None
    assert "damaged" in holder.problem.message
    holder.close()


def test_a_note_on_the_same_bundle_is_told_without_loading_it_again(pointer: Path, sample_bundle: Path) -> None:
    write_pointer(pointer, Pointer(bundle=sample_bundle, version="1"))
    holder = Holder(pointer, 60)
    before = holder.get()
    write_pointer(pointer, Pointer(bundle=sample_bundle, version="1", note="The registry is down."))
    assert not holder.look()
    assert holder.get() is before
    assert holder.problem is not None
    assert holder.problem.message == "The registry is down."
    holder.close()


def test_pointers_survive_the_trip(pointer: Path) -> None:
    assert read_pointer(pointer) is None
    one = Pointer(bundle=Path("/bundles/a"), version="3", alias="champion", note="x")
    write_pointer(pointer, one)
    assert read_pointer(pointer) == one
