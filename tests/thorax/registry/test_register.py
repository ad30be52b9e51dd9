"""A bundle becomes a version, is loaded by MLflow without pickle, and comes back to the byte."""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from thorax.bundle import Bundle
from thorax.errors import BundleError, InputError, RegistryError
from thorax.registry import promotion
from thorax.registry.bundles import fetch
from thorax.registry.decisions import history_of
from thorax.registry.evidence import Evidence
from thorax.registry.register import Registered, register
from thorax.registry.tracking import client
from thorax.registry.versions import aliases, list_versions, resolve
from thorax.settings import Settings


def test_the_first_that_passes_becomes_champion_and_the_next_challenger(
    settings: Settings, registered: Callable[..., Registered]
) -> None:
    first = registered()
    assert (first.version, first.aliases, first.passed) == ("1", ("challenger", "champion"), True)
    second = registered()
    assert second.aliases == ("challenger",)
    assert aliases(settings) == {"champion": "1", "challenger": "2"}
    assert [item.version for item in list_versions(settings)] == ["2", "1"]
    assert [item.state for item in list_versions(settings)] == ["challenger", "champion"]


def test_a_first_model_that_does_not_pass_is_no_champion(
    settings: Settings, registered: Callable[..., Registered]
) -> None:
    found = registered(mean=0.3)
    assert found.aliases == ("challenger",)
    version = resolve(settings, "challenger")
    assert not version.passed
    failed = {gate.name: gate for gate in version.gates if not gate.passed}
    assert failed.keys() == {"mean_auroc"}
    assert failed["mean_auroc"].figure == 0.3
    assert failed["mean_auroc"].limit == settings.registry.gates.min_mean_auroc


def test_lineage_facts_and_figures_stand_on_the_version(
    settings: Settings, registered: Callable[..., Registered]
) -> None:
    registered()
    version = resolve(settings)
    assert version.lineage == {"git_commit": "0" * 40, "params_digest": "p1"}
    assert version.facts["findings"] == "Effusion,Edema,Cardiomegaly"
    assert version.facts["synthetic"] == "true"
    assert version.metrics["auroc"] == 0.9
    assert len(version.bundle_digest) == 64


def test_it_comes_back_to_the_byte_and_is_fetched_once(
    settings: Settings, registered: Callable[..., Registered]
) -> None:
    registered()
    folder = fetch(settings)
    assert Bundle.load(folder).findings == ("Effusion", "Edema", "Cardiomegaly")
    assert folder.name == resolve(settings).bundle_digest
    shutil.rmtree(settings.var / "mlartifacts")
    assert fetch(settings, "1") == folder


def test_a_damaged_copy_is_fetched_anew_and_a_damaged_original_is_refused(
    settings: Settings, registered: Callable[..., Registered]
) -> None:
    registered()
    folder = fetch(settings)
    (folder / "head.safetensors").chmod(0o644)
    (folder / "head.safetensors").write_bytes(b"changed")
    Bundle.load(fetch(settings))
    shutil.rmtree(folder, ignore_errors=True)
    (original,) = (settings.var / "mlartifacts").rglob("head.safetensors")
    original.write_bytes(b"changed")
    with pytest.raises(BundleError, match=r"head\.safetensors"):
        fetch(settings)
    info = original.with_name("bundle.json")
    info.write_text(json.dumps(json.loads(info.read_text()) | {"synthetic": False}))
    with pytest.raises(BundleError, match="not the one that was registered"):
        fetch(settings)
    shutil.rmtree(settings.var / "mlartifacts")
    with pytest.raises(RegistryError, match="version 1"):
        fetch(settings)
    assert list((settings.var / "bundles").iterdir()) == []


def again(bundle: Path, place: Path) -> Path:
    """The bundle as another run makes it from the same steps: at another time, from another commit and run."""
    shutil.copytree(bundle, place)
    info = json.loads((place / "bundle.json").read_text())
    info |= {"created": "later", "lineage": {"pipeline_run": "other"}, "lineage_digest": "other"}
    info["network"] |= {"seconds": 7.0}
    info["digests"] |= {"model_card.md": "other"}
    (place / "bundle.json").write_text(json.dumps(info))
    return place


def test_nothing_new_makes_no_new_version_and_no_decision(
    settings: Settings, bundle: Path, evaluation: dict[str, Any], registered: Callable[..., Registered], tmp_path: Path
) -> None:
    one = register(settings, bundle, evaluation, {})
    registered()
    lines = len(history_of(settings).entries())
    same = register(settings, again(bundle, tmp_path / "again"), evaluation, {}, reason="dvc repro")
    assert (one.new, same.new) == (True, False)
    assert (same.version, same.aliases, same.run_id) == ("1", ("champion",), one.run_id)
    assert aliases(settings) == {"champion": "1", "challenger": "2"}
    assert len(list_versions(settings)) == 2
    assert len(history_of(settings).entries()) == lines


def test_a_version_that_was_deleted_is_made_anew(
    settings: Settings, bundle: Path, evaluation: dict[str, Any], registered: Callable[..., Registered], tmp_path: Path
) -> None:
    registered()
    gone = register(settings, bundle, evaluation, {})
    client(settings).delete_model_version(settings.registry.name, gone.version)
    back = register(settings, again(bundle, tmp_path / "again"), evaluation, {})
    assert (gone.version, back.version, back.new, back.aliases) == ("2", "3", True, ("challenger",))


def test_limits_that_were_changed_judge_the_same_version_anew(
    settings: Settings, bundle: Path, evaluation: dict[str, Any], tmp_path: Path
) -> None:
    strict = settings.registry.gates.model_copy(update={"min_mean_auroc": 0.95})
    strict_settings = settings.model_copy(update={"registry": settings.registry.model_copy(update={"gates": strict})})
    assert not register(strict_settings, bundle, evaluation, {}).passed
    assert aliases(settings) == {"challenger": "1"}
    now = register(settings, again(bundle, tmp_path / "again"), evaluation, {})
    assert (now.version, now.new, now.passed, now.aliases) == ("1", False, True, ("challenger", "champion"))
    assert resolve(settings).passed


def test_a_rejected_version_stays_rejected_however_often_it_is_made(
    settings: Settings, bundle: Path, evaluation: dict[str, Any], registered: Callable[..., Registered], tmp_path: Path
) -> None:
    registered()
    register(settings, bundle, evaluation, {})
    promotion.reject(settings, "2", reason="poor on AP films")
    same = register(settings, again(bundle, tmp_path / "again"), evaluation, {})
    assert (same.version, same.new, same.aliases) == ("2", False, ())
    assert resolve(settings, "2").state == "rejected"


def test_two_runs_that_end_at_once_with_the_same_bundle_make_one_version(
    settings: Settings, bundle: Path, evaluation: dict[str, Any], tmp_path: Path
) -> None:
    places = [again(bundle, tmp_path / name) for name in ("one", "two")]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda place: register(settings, place, evaluation, {}), places))
    assert [item.version for item in found] == ["1", "1"]
    assert len(list_versions(settings)) == 1


def test_what_is_no_bundle_is_refused_and_one_that_lies_fails_its_gate(
    settings: Settings, bundle: Path, evaluation: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match="no bundle"):
        register(settings, tmp_path / "nothing", evaluation, {})
    lying = tmp_path / "lying" / "bundle"
    shutil.copytree(bundle, lying)
    (lying / "model_card.md").write_text("changed")
    found = register(settings, lying, evaluation, {})
    assert {gate.name for gate in found.gates if not gate.passed} == {"bundle", "latency"}
    assert "champion" not in found.aliases


def test_unknown_versions_and_aliases_are_named_with_what_is_known(
    settings: Settings, registered: Callable[..., Registered]
) -> None:
    with pytest.raises(RegistryError, match="Train a model first"):
        resolve(settings)
    registered()
    with pytest.raises(RegistryError, match=r"no version 7.*Known versions: 1"):
        resolve(settings, "7")
    with pytest.raises(RegistryError, match=r"'champoin'.*champion \(version 1\)"):
        resolve(settings, "champoin")
    client(settings).delete_model_version("thorax", "1")
    with pytest.raises(RegistryError):
        resolve(settings)


def test_mlflow_loads_it_with_pickle_forbidden(
    settings: Settings, registered: Callable[..., Registered], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import base64

    import mlflow

    registered()
    files = []
    for number in range(2):
        grey = np.random.default_rng(number).integers(0, 255, (80, 80), np.uint8)
        Image.fromarray(grey).save(tmp_path / f"{number}.png")
        files.append(str(tmp_path / f"{number}.png"))
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    mlflow.set_tracking_uri(settings.tracking_uri)
    model = mlflow.pyfunc.load_model("models:/thorax@champion")
    answers = model.predict(pd.DataFrame({"path": files}))
    assert len(answers) == 2
    assert answers["p_Edema"].between(0, 1).all()
    assert set(answers["c_Edema"]) <= {"present", "absent", "uncertain"}
    # MLflow's page names the very columns that come.
    promised = model.metadata.get_output_schema().input_dict()
    kinds = {"float64": "double", "bool": "boolean", "object": "string", "str": "string"}
    assert {name: column.type.name for name, column in promised.items()} == {
        name: kinds[str(kind)] for name, kind in answers.dtypes.items()
    }
    data = [base64.b64encode(Path(path).read_bytes()).decode() for path in files]
    pd.testing.assert_frame_equal(model.predict(pd.DataFrame({"image": data})), answers)
    grey = np.stack([np.asarray(Image.open(path)) for path in files])
    by_array = model.predict(grey)
    np.testing.assert_allclose(by_array["p_Edema"], answers["p_Edema"], atol=1e-6)
    np.testing.assert_allclose(model.predict(grey / np.float32(255))["p_Edema"], answers["p_Edema"], atol=1e-6)
    assert not list((settings.var / "mlartifacts").rglob("*.pkl"))
    with pytest.raises(InputError, match="column `path`"):
        model.predict(pd.DataFrame({"file": files}))
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        model.predict(grey.astype(np.float32))


def test_the_champion_is_compared_on_patients_that_it_never_saw(
    settings: Settings,
    steps: dict[str, Path],
    bundle: Path,
    evaluation: dict[str, Any],
    evidence: Evidence,
    tmp_path: Path,
) -> None:
    register(settings, bundle, evaluation, {}, evidence=evidence)
    place = tmp_path / "bundle"
    shutil.copytree(bundle, place)
    info = json.loads((place / "bundle.json").read_text())
    info["network"] |= {"variant": 2}
    (place / "bundle.json").write_text(json.dumps(info))

    def against(theirs: Any, store: Path | None = None) -> Any:
        from thorax.registry.challenge import with_champion

        return with_champion(settings, client(settings), theirs, store)

    same = against(evidence)
    assert same.mean.value == 0
    assert same.images == len(evidence.images) == 64
    worse = replace(evidence, probabilities=1 - evidence.probabilities)
    assert against(worse).mean.high < 0
    assert not register(settings, place, evaluation, {}, evidence=worse).passed
    # Images that the champion has not answered are scored with it, where the store holds them.
    known = replace(evidence, images=evidence.images[:10], learnt=evidence.learnt[:0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("thorax.registry.challenge.evidence_of", lambda *_: replace(known, patients=known.images))
        assert "few test images" in against(evidence) or against(evidence).images == 10
        rescored = against(evidence, steps["store_dir"])
        assert rescored.images == 64
        assert rescored.mean.value == pytest.approx(0, abs=1e-6)
        patch.setattr("thorax.registry.challenge.evidence_of", lambda *_: replace(known, learnt=evidence.patients))
        assert "has learnt from every patient" in against(evidence)
        patch.setattr("thorax.registry.challenge.evidence_of", lambda *_: replace(known, findings=("A", "B", "C")))
        assert "answers for A, B, C" in against(evidence)
    shutil.rmtree(settings.var / "mlartifacts")
    assert "cannot be compared" in against(evidence)
