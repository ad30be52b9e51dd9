"""The evaluate and select steps, their pages, the model card, and what they refuse."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from thorax.calibration import Calibration
from thorax.calibration.conformal import Cutoffs
from thorax.calibration.outputs import read_outputs
from thorax.errors import InputError
from thorax.evaluation import evaluate, select
from thorax.evaluation.card import write_card
from thorax.evaluation.localization import localization_figures, locate
from thorax.evaluation.paired import Answers, compare
from thorax.evaluation.ranking import auroc, delong
from thorax.evaluation.report import figure_cell, figure_text
from thorax.evaluation.run import measure
from thorax.settings import Evaluation, Select

SETTINGS = Evaluation(bootstrap=60)


@pytest.fixture(scope="module")
def evaluated(maker, tmp_path_factory) -> tuple[dict, Path, Path]:
    """What one evaluation gives: its facts, its folder, and the folder of the training."""
    folder = tmp_path_factory.mktemp("evaluated")
    folders = maker(folder)
    facts = evaluate(*folders, SETTINGS, folder / "evaluation", "<script>alert(1)</script>", True)
    return facts, folder / "evaluation", folders.train


@pytest.fixture
def facts(evaluated) -> dict:
    return json.loads(json.dumps(evaluated[0]))


@pytest.fixture
def unwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluate without drawing: the page has tests of its own."""
    monkeypatch.setattr("thorax.evaluation.report.write_report", lambda *_: None)


def test_evaluate_leaves_what_the_next_steps_read(evaluated) -> None:
    facts, folder, train = evaluated
    assert json.loads((folder / "evaluation.json").read_text()) == json.loads(json.dumps(facts))
    outputs = np.load(train / "outputs-test.npz")
    expected = roc_auc_score(outputs["truth"][:, 0], outputs["logits"][:, 0])
    auroc = facts["metrics"]["Effusion"]["auroc"]
    assert auroc["value"] == pytest.approx(expected)
    assert auroc["low"] < expected < auroc["high"]
    assert facts["images"] == 240
    assert facts["patients"] == 120
    assert facts["metrics"]["mean"]["ece"]["value"] < facts["metrics"]["mean"]["ece_raw"]["value"]
    assert facts["localization"]["mean"]["pointing_game"]["value"] > 0.9
    assert facts["localization"]["mean"]["chance"]["value"] == pytest.approx(0.0625, abs=0.01)
    assert facts["subgroups"]["view"]["groups"]["LATERAL"] == {"images": 2, "patients": 2, "too_small": True}
    assert facts["faithfulness"]["cases"] == 16
    assert facts["no_finding_filter"] is None
    assert facts["conformal"]["groups"]["view"]["LATERAL"]["too_small"]
    assert 0 < facts["dropout"]["spread"] < 0.5


def test_the_page_is_whole_in_one_file_and_small(evaluated) -> None:
    _, folder, _ = evaluated
    page = (folder / "report.html").read_text()
    assert "<script>" not in page, "a title must not break the page"
    assert len(page) < 5_000_000
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page), "it must fetch nothing"
    assert "Synthetic." in page
    assert "Most confident false alarms" in page
    assert "Faithfulness" in page
    assert "Mean by support" in page
    for section in ("glance", "operating", "discrimination", "calibration", "trust", "groups", "where", "errors"):
        assert f'id="{section}"' in page
    names = {path.stem for path in (folder / "figures").glob("*.png")}
    assert {"roc", "precision_recall", "reliability", "threshold_price", "confusion", "subgroups"} <= names


@pytest.mark.slow
def test_real_radiographs_have_no_synthetic_banner_and_the_filter_is_a_second_table(maker, tmp_path: Path) -> None:
    folders = maker(tmp_path / "made", no_finding=True)
    facts = evaluate(*folders, SETTINGS, tmp_path / "evaluation", "custom_cnn", False)
    kept = int((np.load(folders.train / "outputs-test.npz")["truth"].sum(axis=1) > 0).sum())
    assert facts["no_finding_filter"]["images"] == kept
    page = (tmp_path / "evaluation" / "report.html").read_text()
    assert "Without the images labelled" in page
    assert "Synthetic." not in page


@pytest.mark.usefixtures("unwritten")
def test_outputs_of_other_images_are_named(folders, tmp_path: Path) -> None:
    rows = pd.read_parquet(folders.store / "rows.parquet")
    rows.loc[3, "image_id"] = "stranger.png"
    rows.to_parquet(folders.store / "rows.parquet")
    with pytest.raises(InputError, match=r"2 images differ; '(stranger|test).*png'"):
        evaluate(*folders, SETTINGS, tmp_path / "evaluation", "custom_cnn", True)
    assert not (tmp_path / "evaluation").exists()


@pytest.mark.usefixtures("unwritten")
def test_a_truth_that_changed_is_named(folders, tmp_path: Path) -> None:
    rows = pd.read_parquet(folders.store / "rows.parquet")
    rows.loc[3, "truth:Edema"] = 1 - rows.loc[3, "truth:Edema"]
    rows.to_parquet(folders.store / "rows.parquet")
    with pytest.raises(InputError, match=f"Edema of image '{rows.loc[3, 'image_id']}'"):
        evaluate(*folders, SETTINGS, tmp_path / "evaluation", "custom_cnn", True)


@pytest.mark.slow
def test_a_finding_without_a_positive_is_a_dash_and_no_crash(folders, tmp_path: Path) -> None:
    file = folders.train / "outputs-test.npz"
    arrays = dict(np.load(file))
    arrays["truth"][:, 1] = 0
    np.savez(file, **arrays)
    rows = pd.read_parquet(folders.store / "rows.parquet")
    rows["truth:Edema"] = 0.0
    rows.to_parquet(folders.store / "rows.parquet")
    facts = evaluate(*folders, SETTINGS, tmp_path / "evaluation", "custom_cnn", True)
    assert facts["metrics"]["Edema"]["auroc"]["value"] is None
    page = (tmp_path / "evaluation" / "report.html").read_text()
    assert "–" in page
    assert "Edema" in write_card(facts, {}).split("Not judged")[1]


def test_maps_are_compared_with_the_boxes_of_their_own_image_and_finding() -> None:
    maps = np.zeros((2, 2, 8, 8))
    maps[0, 1, 1, 1] = 5.0
    boxes = pd.DataFrame(
        [("a", "Edema", 0.1, 0.1, 0.2, 0.2), ("a", "Edema", 0.7, 0.7, 0.2, 0.2), ("z", "Edema", 0, 0, 1, 1)],
        columns=["image_id", "finding", "x", "y", "w", "h"],
    )
    found = locate(maps, np.array(["a", "b"]), boxes, ["Effusion", "Edema"])
    assert [(one.row, one.finding, len(one.boxes)) for one in found] == [(0, 1, 2)]
    figures = localization_figures(found, np.array(["p", "q"]), ["Effusion", "Edema"], 20, 0, 0.95)
    assert figures["Edema"]["pointing_game"]["value"] == 1.0
    assert figures["mean"]["images"] == 1
    assert localization_figures([], np.array([]), [], 20, 0, 0.95) == {}


def test_select_takes_the_best_and_says_why(evaluated, facts: dict, tmp_path: Path) -> None:
    worse = facts
    worse["metrics"]["mean"]["auroc"] = {"value": 0.55, "low": 0.5, "high": 0.6}
    (tmp_path / "worse").mkdir()
    answers = Answers.load(evaluated[1] / "scores.npz")
    noise = np.random.default_rng(0).random(answers.probabilities.shape)
    replace(answers, probabilities=noise).save(tmp_path / "worse" / "scores.npz")
    (tmp_path / "worse" / "evaluation.json").write_text(json.dumps(worse))
    verdict = select({"resnet50": tmp_path / "worse", "custom_cnn": evaluated[1]}, Select(), tmp_path / "s")
    assert verdict["winner"] == "custom_cnn"
    assert "against 0.550 of resnet50" in verdict["reason"]
    assert [row["name"] for row in verdict["table"]] == ["custom_cnn", "resnet50"]
    behind = verdict["table"][1]["behind"]
    assert behind["mean"]["low"] > 0.1
    assert behind["findings"]["Edema"]["p_value"] < 0.01
    assert verdict["disagreement"]["entropy"] < verdict["disagreement"]["spread"]
    page = (tmp_path / "s" / "comparison.html").read_text()
    assert "resnet50" in page
    assert json.loads((tmp_path / "s" / "selection.json").read_text())["winner"] == "custom_cnn"


def test_a_paired_comparison_knows_what_is_common_to_both(evaluated) -> None:
    answers = Answers.load(evaluated[1] / "scores.npz")
    random = np.random.default_rng(0)
    other = replace(answers, probabilities=answers.probabilities + random.normal(0, 0.02, answers.probabilities.shape))
    found = compare(answers, other, ["a", "b", "c"], 200, 0.95)
    ours, theirs = (auroc(one.probabilities[:, 0], one.truth[:, 0]) for one in (answers, other))
    assert found["findings"]["a"]["value"] == pytest.approx(ours - theirs)
    expected = delong(answers.probabilities[:, 0], other.probabilities[:, 0], answers.truth[:, 0])
    assert found["findings"]["a"]["p_value"] == pytest.approx(expected.p_value)
    # Unpaired, the interval of either AUROC alone is several times as wide.
    width = found["mean"]["high"] - found["mean"]["low"]
    alone = evaluated[0]["metrics"]["mean"]["auroc"]
    assert width < 0.5 * (alone["high"] - alone["low"])
    with pytest.raises(InputError, match="other images"):
        compare(answers, replace(answers, image=answers.image[::-1]), ["a", "b", "c"], 10, 0.95)


def test_no_identifier_of_a_person_is_kept(evaluated) -> None:
    kept = (evaluated[1] / "scores.npz").read_bytes() + (evaluated[1] / "evaluation.json").read_bytes()
    assert b"test17" not in kept
    assert "test17" not in "".join(map(str, Answers.load(evaluated[1] / "scores.npz").patient))


def test_select_refuses_what_cannot_be_compared(evaluated, facts: dict, tmp_path: Path) -> None:
    other = facts | {"images": 7}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "evaluation.json").write_text(json.dumps(other))
    with pytest.raises(InputError, match=r"differ in images \(240 and 7\)"):
        select({"a": evaluated[1], "b": tmp_path / "other"}, Select(), tmp_path / "s")
    with pytest.raises(InputError, match="no candidate"):
        select({}, Select(), tmp_path / "s")


def test_the_card_takes_every_number_from_the_evaluation(facts: dict) -> None:
    card = write_card(facts, {"name": "thorax", "size": 64, "lineage": {"commit": "abc123"}})
    assert "**Synthetic.**" in card
    auroc = facts["metrics"]["Edema"]["auroc"]
    assert f"{auroc['value']:.2f} ({auroc['low']:.2f}–{auroc['high']:.2f})" in card
    for title in ("Intended use", "Data", "Results", "Calibration", "Results by subgroup", "Limits", "Licence"):
        assert f"## {title}\n" in card
    assert "too small" in card
    missed = facts["conformal"]["findings"]["Edema"]["missed"]
    assert f"| Edema | {missed['value']:.2f} ({missed['low']:.2f}–{missed['high']:.2f})" in card
    assert f"{facts['faithfulness']['gain']['value']:.3f}" in card
    facts["faithfulness"]["sane"] = False
    assert "redrawn weights" in write_card(facts, {}).split("## Limits")[1]
    assert "abc123" in card


def test_a_view_is_judged_by_the_cutoffs_of_its_own(folders) -> None:
    calibration = Calibration.load(folders.calibration)
    never = {"AP": Cutoffs(lower=2.0, upper=2.0)}  # in AP images everything is answered "absent"
    own = replace(calibration, by_finding=tuple(replace(one, cutoffs_by_group=never) for one in calibration.by_finding))
    outputs = read_outputs(folders.train / "outputs-test.npz")
    rows = pd.DataFrame({"view": np.where(np.arange(240) % 2, "AP", "PA")})
    boxes = pd.DataFrame(columns=["image_id", "finding"])
    found = measure(outputs, own, rows, boxes, SETTINGS).facts["conformal"]["groups"]["view"]
    assert found["AP"]["missed"]["value"] == 1.0
    assert found["PA"]["missed"]["value"] < 0.3


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        ({"value": 0.824, "low": 0.791, "high": 0.85}, "0.82 (0.79–0.85)"),
        ({"value": -0.001, "low": -0.021, "high": 0.012}, "0.00 (−0.02 to 0.01)"),
        ({"value": 0.01, "low": -0.001, "high": 0.02}, "0.01 (0.00–0.02)"),
        ({"value": 0.5, "low": None, "high": None}, "0.50"),
        ({"value": None, "low": None, "high": None}, "–"),
        (None, "–"),
    ],
)
def test_figures_read_well(figure: dict | None, text: str) -> None:
    assert figure_text(figure) == text
    cell = str(figure_cell(figure))
    assert re.sub(r"<[^>]+>", " ", cell).split() == text.replace("(", "").replace(")", "").split()
