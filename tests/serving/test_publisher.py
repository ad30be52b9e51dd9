"""The registry's champion reaches the pointer; a registry that is down or wrong leaves the last one."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from serving.pointer import Pointer, read_pointer, write_pointer
from serving.publisher import Publisher
from serving.runtime import Runtime
from thorax.errors import RegistryError
from thorax.registry import bundles, versions
from thorax.settings import load


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """A registry that holds one champion; change it, or set `error`."""
    state = SimpleNamespace(version="1", bundle_digest="a", servable=True, error=None, fetched=0)

    def resolve(settings: object, which: str) -> SimpleNamespace:
        if state.error:
            raise state.error
        return SimpleNamespace(version=state.version, bundle_digest=state.bundle_digest, servable=state.servable)

    def fetch(settings: object, version: SimpleNamespace) -> Path:
        state.fetched += 1
        folder = tmp_path / version.bundle_digest
        folder.mkdir(exist_ok=True)
        return folder

    monkeypatch.setattr(versions, "resolve", resolve)
    monkeypatch.setattr(bundles, "fetch_version", fetch)
    return state


@pytest.fixture
def publisher(runtime: Runtime, home: Path, registry: SimpleNamespace) -> Publisher:
    return Publisher(load(home), runtime)


def test_the_champion_is_published_and_followed(
    publisher: Publisher, runtime: Runtime, registry: SimpleNamespace, tmp_path: Path
) -> None:
    publisher.look()
    assert read_pointer(runtime.pointer) == Pointer(bundle=tmp_path / "a", version="1", alias="champion")
    publisher.look()
    assert registry.fetched == 1
    registry.version, registry.bundle_digest = "2", "b"
    publisher.look()
    assert read_pointer(runtime.pointer) == Pointer(bundle=tmp_path / "b", version="2", alias="champion")


def test_the_same_bundle_under_a_new_version_is_published(
    publisher: Publisher, runtime: Runtime, registry: SimpleNamespace
) -> None:
    publisher.look()
    registry.version = "2"
    publisher.look()
    found = read_pointer(runtime.pointer)
    assert found is not None
    assert found.version == "2"


def test_no_champion_yet_is_said(publisher: Publisher, runtime: Runtime, registry: SimpleNamespace) -> None:
    registry.error = RegistryError("There is no champion.", "Run thorax pipeline run.")
    publisher.look()
    found = read_pointer(runtime.pointer)
    assert found is not None
    assert found.bundle is None
    assert "There is no champion." in found.note
    registry.error = None
    publisher.look()
    found = read_pointer(runtime.pointer)
    assert found is not None
    assert (found.version, found.note) == ("1", "")


def test_a_registry_that_is_down_leaves_the_last_bundle_and_says_so(
    publisher: Publisher, runtime: Runtime, registry: SimpleNamespace, tmp_path: Path
) -> None:
    publisher.look()
    for error in (RegistryError("The registry is down."), OSError("no route")):
        registry.error = error
        publisher.look()
        found = read_pointer(runtime.pointer)
        assert found is not None
        assert found.bundle == tmp_path / "a"
        assert "may not be the newest" in found.note
    registry.error = None
    publisher.look()
    found = read_pointer(runtime.pointer)
    assert found is not None
    assert found.note == ""


def test_at_start_with_the_registry_down_the_last_bundle_is_kept(
    publisher: Publisher, runtime: Runtime, registry: SimpleNamespace, tmp_path: Path
) -> None:
    (tmp_path / "old").mkdir()
    write_pointer(runtime.pointer, Pointer(bundle=tmp_path / "old", version="0"))
    registry.error = RegistryError("The registry is down.")
    publisher.look()
    found = read_pointer(runtime.pointer)
    assert found is not None
    assert (found.bundle, found.version) == (tmp_path / "old", "0")


def test_a_champion_that_did_not_pass_its_gates_is_not_served(
    publisher: Publisher, runtime: Runtime, registry: SimpleNamespace, tmp_path: Path
) -> None:
    publisher.look()
    registry.version, registry.bundle_digest, registry.servable = "2", "b", False
    publisher.look()
    found = read_pointer(runtime.pointer)
    assert found is not None
    assert found.bundle == tmp_path / "a"
    assert "gates did not all pass" in found.note
