"""The registry's champion reaches the pointer; a registry that is down or wrong leaves the last one."""

import time
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


def test_the_challenger_is_published_where_it_is_wanted(
    runtime: Runtime, home: Path, registry: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"champion": "1", "challenger": "2"}
    servable = {"1": True, "2": True}

    def resolve(settings: object, which: str) -> SimpleNamespace:
        number = known[which]
        return SimpleNamespace(version=number, bundle_digest=f"d{number}", servable=servable[number])

    monkeypatch.setattr(versions, "resolve", resolve)
    monkeypatch.setattr(versions, "aliases", lambda settings: known)

    def published(**wanted: object) -> Pointer:
        publisher = Publisher(load(home), runtime.model_copy(update=wanted))
        publisher.look()
        found = read_pointer(runtime.pointer)
        assert found is not None
        return found

    assert published().challenger is None  # nobody asked for it
    shadow = published(shadow=True)
    assert (shadow.version, shadow.challenger, shadow.challenger_version) == ("1", tmp_path / "d2", "2")
    servable["2"] = False
    assert published(shadow=True).challenger_version == "2"  # it answers nobody
    assert published(shadow=True, canary_share=0.1).challenger is None  # this one would
    servable["2"], known["challenger"] = True, "1"
    assert published(shadow=True).challenger is None  # the champion is no challenger of itself
    del known["challenger"]
    assert published(shadow=True).version == "1"


def test_a_challenger_that_cannot_be_fetched_holds_nobody_up(
    runtime: Runtime, home: Path, registry: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = bundles.fetch_version

    def broken(settings: object, version: SimpleNamespace) -> Path:
        if version.version == "2":
            raise RegistryError("It is gone.")
        return fetch(settings, version)  # type: ignore[arg-type]

    resolve = versions.resolve

    def both(settings: object, which: str) -> SimpleNamespace:
        found = resolve(settings, which)  # type: ignore[arg-type]
        return SimpleNamespace(**vars(found) | {"version": "2"}) if which == "challenger" else found  # type: ignore[return-value]

    monkeypatch.setattr(bundles, "fetch_version", broken)
    monkeypatch.setattr(versions, "resolve", both)
    monkeypatch.setattr(versions, "aliases", lambda settings: {"champion": "1", "challenger": "2"})
    Publisher(load(home), runtime.model_copy(update={"shadow": True})).look()
    found = read_pointer(runtime.pointer)
    assert found is not None
    assert (found.version, found.challenger) == ("1", None)


def test_a_wake_is_a_look_without_waiting_for_the_poll(runtime: Runtime, home: Path, registry: SimpleNamespace) -> None:
    publisher = Publisher(load(home), runtime.model_copy(update={"poll_seconds": 3600.0}))
    publisher.start()
    _wait_for(runtime, "1")
    registry.version = "2"
    publisher.wake()
    _wait_for(runtime, "2")
    publisher.close()


def _wait_for(runtime: Runtime, version: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = read_pointer(runtime.pointer)
        if found is not None and found.version == version:
            return
        time.sleep(0.01)
    raise AssertionError(f"version {version} was not published")
