"""Truth that comes late: who is believed, what is counted, and how the measured figures follow."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from thorax.errors import InputError
from thorax.monitoring.performance import assess, judge
from thorax.monitoring.truth import read_labels, settle
from thorax.settings import Monitor


def said(*rows: tuple[str, str, str, int]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["request_id", "role", "finding", "present"])
    return frame.assign(time=pd.date_range("2026-01-01", periods=len(rows), freq="min", tz="UTC"))


def test_the_later_word_of_a_role_counts_and_the_higher_role_above_others() -> None:
    found = settle(
        said(
            ("a", "physician", "Edema", 1),
            ("a", "physician", "Edema", 1),  # repeated
            ("b", "physician", "Edema", 1),
            ("b", "physician", "Edema", 0),  # taken back
            ("c", "confirmed", "Edema", 0),
            ("c", "other", "Edema", 1),  # disputed
            ("c", "other", "Effusion", 1),
        )
    )
    assert found.table.loc[["a", "b", "c"], "Edema"].tolist() == [1, 0, 0]
    assert np.isnan(found.table.loc["a", "Effusion"])
    assert (found.duplicates, found.revised, found.disputed) == (1, 1, 1)
    assert settle(said()).table.empty


def test_a_file_is_read_in_both_formats_and_a_wrong_value_names_its_row(tmp_path: Path) -> None:
    frame = pd.DataFrame({"request_id": ["a", "b"], "Edema": [1.0, np.nan], "effusion": [True, False]})
    frame.to_parquet(tmp_path / "l.parquet")
    assert read_labels(tmp_path / "l.parquet", ["Edema", "Effusion"]).said == {
        "a": {"Edema": True, "Effusion": True},
        "b": {"Effusion": False},
    }
    (tmp_path / "l.csv").write_text("request_id,Edema\na,1\nb,maybe\n")
    with pytest.raises(InputError, match=r"row 3: Edema is 'maybe'"):
        read_labels(tmp_path / "l.csv", ["Edema"])
    (tmp_path / "l.csv").write_text("id,Edema\na,1\n")
    with pytest.raises(InputError, match="no column request_id"):
        read_labels(tmp_path / "l.csv", ["Edema"])
    with pytest.raises(InputError, match="does not exist"):
        read_labels(tmp_path / "none.csv", ["Edema"])
    (tmp_path / "l.parquet").write_text("no parquet")
    with pytest.raises(InputError, match="cannot be read"):
        read_labels(tmp_path / "l.parquet", ["Edema"])


def live(rows: int, good: bool, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    p = rng.beta(0.8, 1.6, rows)
    truth = rng.random(rows) < (p if good else np.full(rows, 0.33))
    names = [f"r{i}" for i in range(rows)]
    frame = pd.DataFrame({"request_id": names, "image_digest": names, "p_Edema": p, "d_Edema": (p > 0.4).astype(int)})
    return frame, pd.DataFrame({"Edema": truth.astype(float)}, index=pd.Index(names, name="request_id"))


def test_measured_figures_are_scikit_learns_and_a_drop_is_beyond_its_cut_off() -> None:
    settings = Monitor(min_truth=50)
    frame, truth = live(400, good=True)
    (found,) = assess(frame, frame, truth, ["Edema"], {"Edema": 0.75}, settings)
    expected = roc_auc_score(truth["Edema"], frame["p_Edema"])
    assert found.measured["auroc"]["value"] == pytest.approx(expected)
    assert found.measured["auroc"]["low"] < expected < found.measured["auroc"]["high"]  # type: ignore[operator]
    called = frame["d_Edema"].to_numpy() == 1
    assert found.measured["sensitivity"]["value"] == pytest.approx(called[truth["Edema"] == 1].mean())
    assert found.bias is not None
    assert found.bias["low"] < 0 < found.bias["high"]  # type: ignore[operator]
    assert not any(figure.crossed for figure in judge([found], settings))
    bad_frame, bad_truth = live(400, good=False)
    bad = assess(bad_frame, bad_frame, bad_truth, ["Edema"], {"Edema": 0.75}, settings)
    (figure,) = judge(bad, settings)
    assert figure.crossed
    assert figure.name == "performance_Edema"
    # Without truth nothing shows that the answers have come to mean nothing: the estimate is blind to it.
    assert bad[0].estimated["auroc"]["value"] > 0.7  # type: ignore[operator]


def test_too_little_truth_gives_no_figure() -> None:
    frame, truth = live(40, good=True)
    (found,) = assess(frame, frame, truth, ["Edema"], {}, Monitor(min_truth=50))
    assert (found.images, found.measured, found.bias) == (40, {}, None)
    assert judge([found], Monitor(min_truth=50)) == []
