"""The calibrate step, its files, and what it refuses."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from thorax.calibration import Calibration, calibrate, fit
from thorax.calibration.outputs import read_outputs
from thorax.calibration.referral import wrong
from thorax.calibration.run import Surroundings
from thorax.errors import InputError
from thorax.settings import Calibration as Settings

FINDINGS = ("Effusion", "Edema", "Cardiomegaly")


@pytest.fixture
def calibrated(train_dir: Path, tmp_path: Path) -> Path:
    calibrate(train_dir, Settings(), tmp_path / "calibration")
    return tmp_path / "calibration"


def test_calibrate_writes_what_serving_reads(train_dir: Path, calibrated: Path) -> None:
    calibration = Calibration.load(calibrated)
    outputs = read_outputs(train_dir / "outputs-test.npz")
    p = calibration.probabilities(outputs.logits)
    assert calibration.findings == ("Effusion", "Edema", "Cardiomegaly")
    assert p.shape == (300, 3)
    assert p.dtype == np.float64
    for column in range(3):
        assert p[:, column].mean() == pytest.approx(outputs.truth[:, column].mean(), abs=0.07)
        called = calibration.decisions(p)[:, column]
        assert called[outputs.truth[:, column] == 1].mean() == pytest.approx(0.9, abs=0.1)
    assert set(np.unique(calibration.answers(p))) <= {"present", "absent", "uncertain"}
    assert (calibration.ood_score(outputs.features) > calibration.ood_cutoff).mean() < 0.06
    assert ((calibration.uncertainty(p) >= 0) & (calibration.uncertainty(p) <= 1)).all()


def test_calibrating_twice_gives_the_same_bytes(train_dir: Path, calibrated: Path, tmp_path: Path) -> None:
    calibrate(train_dir, Settings(), tmp_path / "again")
    for name in ("calibration.json", "ood.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (calibrated / name).read_bytes()


def test_referral_keeps_its_budget_and_spares_errors(train_dir: Path, tmp_path: Path) -> None:
    outputs = read_outputs(train_dir / "outputs-test.npz")
    shares, errors = {}, {}
    for budget in (None, 0.1, 0.3):
        calibrate(train_dir, Settings(referral=budget), tmp_path / "c")
        calibration = Calibration.load(tmp_path / "c")
        p = calibration.probabilities(outputs.logits)
        handed = calibration.refer(p, np.zeros(len(p)))
        shares[budget] = handed.mean()
        errors[budget] = np.nanmean(wrong(calibration.answers(p), outputs.truth)[~handed])
        assert calibration.refer(p, np.full(len(p), calibration.ood_cutoff + 1)).all(), "out of distribution besides"
    assert shares[None] == 0
    assert (shares[0.1], shares[0.3]) == (pytest.approx(0.1, abs=0.05), pytest.approx(0.3, abs=0.07))
    assert errors[None] > errors[0.1] > errors[0.3]


def test_referral_stops_where_the_kept_are_right_often_enough(train_dir: Path, tmp_path: Path) -> None:
    outputs = read_outputs(train_dir / "outputs-calibration.npz")
    for limit, budget in ((0.05, None), (0.05, 0.02)):
        calibrate(train_dir, Settings(referral=budget, referral_error=limit), tmp_path / "c")
        calibration = Calibration.load(tmp_path / "c")
        p = calibration.probabilities(outputs.logits)
        handed = calibration.refer(p, np.zeros(len(p)))
        error = np.nanmean(wrong(calibration.answers(p), outputs.truth)[~handed])
        if budget is None:
            assert error <= limit
            assert 0 < handed.mean() < 1
        else:
            assert handed.mean() <= budget


def test_a_view_of_its_own_has_cutoffs_of_its_own(train_dir: Path) -> None:
    outputs = read_outputs(train_dir / "outputs-calibration.npz")
    features = read_outputs(train_dir / "outputs-train.npz").features
    around = Surroundings(np.where(np.arange(400) % 2, "PA", "AP"), np.zeros((600, 64)), np.zeros((400, 64)))
    calibration = fit(FINDINGS, outputs, features, Settings(conformal_by_view=True), around)
    assert set(calibration.by_finding[0].cutoffs_by_group) == {"AP", "PA"}
    p = np.linspace(0, 1, 101)[:, None].repeat(3, axis=1)
    own, common = calibration.answers(p, ["AP"] * 101), calibration.answers(p, ["LATERAL"] * 101)
    assert (own != common).any()
    np.testing.assert_array_equal(common, calibration.answers(p))


def test_with_the_store_strangeness_reads_the_images_too(
    train_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{split}{i}" for split, n in (("calibration", 400), ("train", 600)) for i in range(n)]
    pictures = np.random.default_rng(0).normal(np.linspace(50, 200, 32)[:, None], 9, (1000, 32, 32))
    store = SimpleNamespace(
        info={}, rows=pd.DataFrame({"image_id": names, "view": "PA"}), images=lambda rows: pictures[np.asarray(rows)]
    )
    monkeypatch.setattr("thorax.preprocessing.store.ImageStore.open", lambda _: store)
    written = calibrate(train_dir, Settings(), tmp_path / "c", tmp_path / "store")
    assert written["ood"]["reads"] == ["features", "appearance"]
    calibration = Calibration.load(tmp_path / "c")
    features = read_outputs(train_dir / "outputs-calibration.npz").features
    assert (calibration.ood_score(features, pictures[:400]) > calibration.ood_cutoff).mean() == pytest.approx(0.02)
    assert (calibration.ood_score(features, pictures[:400, ::-1]) > calibration.ood_cutoff).all()
    store.rows = store.rows[1:]
    with pytest.raises(InputError, match="'calibration0' of the network's outputs is not in the store"):
        calibrate(train_dir, Settings(), tmp_path / "d", tmp_path / "store")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"logits": np.zeros((9, 3))}, "9 rows"),
        ({"logits": np.zeros((400, 2)), "truth": np.zeros((400, 2))}, "2 findings where 3"),
        ({"truth": np.zeros((400, 2))}, "truth is"),
        ({"image_id": np.array(["same"] * 400)}, "'same' stands 400 times"),
        ({"logits": np.full((400, 3), np.nan)}, "image 'calibration0', finding 1, is nan"),
        ({"truth": np.full((400, 3), 0.5)}, "must be 1, 0 or unknown"),
    ],
)
def test_outputs_that_do_not_fit_are_named(train_dir: Path, tmp_path: Path, damage: dict, message: str) -> None:
    file = train_dir / "outputs-calibration.npz"
    arrays = dict(np.load(file)) | damage
    np.savez(file, **arrays)
    with pytest.raises(InputError, match=message):
        calibrate(train_dir, Settings(), tmp_path / "c")
    assert not (tmp_path / "c" / "calibration.json").exists()


def test_a_cut_off_file_is_never_taken_for_a_whole_one(train_dir: Path, calibrated: Path, tmp_path: Path) -> None:
    outputs = train_dir / "outputs-calibration.npz"
    outputs.write_bytes(outputs.read_bytes()[:1000])
    with pytest.raises(InputError, match="cut short"):
        calibrate(train_dir, Settings(), tmp_path / "c")
    outputs.unlink()
    with pytest.raises(InputError, match="does not exist"):
        calibrate(train_dir, Settings(), tmp_path / "c")
    tree = json.loads((calibrated / "calibration.json").read_text())
    del tree["by_finding"]["Edema"]["threshold"]
    (calibrated / "calibration.json").write_text(json.dumps(tree))
    with pytest.raises(InputError, match="not a calibration: KeyError: 'threshold'"):
        Calibration.load(calibrated)


def test_an_empty_calibration_split_says_where_to_mend_it(train_dir: Path, tmp_path: Path) -> None:
    file = train_dir / "outputs-calibration.npz"
    np.savez(file, **{name: array[:0] for name, array in np.load(file).items()})
    with pytest.raises(InputError, match="calibration split is empty"):
        calibrate(train_dir, Settings(), tmp_path / "c")


def test_a_tiny_calibration_split_falls_back_and_says_so(train_dir: Path, tmp_path: Path) -> None:
    file = train_dir / "outputs-calibration.npz"
    np.savez(file, **{name: array[:6] for name, array in np.load(file).items()})
    written = calibrate(train_dir, Settings(), tmp_path / "c")
    assert all("slope shared" in entry["note"] for entry in written["by_finding"].values())
    calibration = Calibration.load(tmp_path / "c")
    assert (calibration.answers(np.array([[0.01, 0.5, 0.99]])) == "uncertain").all()


def test_wrong_shapes_are_refused(calibrated: Path) -> None:
    with pytest.raises(InputError, match="3 findings"):
        Calibration.load(calibrated).probabilities(np.zeros((4, 2)))


def test_importing_it_is_light() -> None:
    heavy = {"scipy", "sklearn", "pandas", "torch", "pydantic"}
    code = f"import sys, thorax.calibration; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
