"""`thorax crossval` pools folds, compares with intervals, goes on where it was, and tells what it compares."""

import json
import shutil

import numpy as np
import pytest
import typer
from trainable_store import add_boxes, quick_recipe, write_store
from typer.testing import CliRunner

from commands import crossval as command
from commands.crossval import orders as crossval_orders
from commands.crossval.arms import TECHNIQUES, control_arm, network_arm, reference_arms, technique_arms
from commands.crossval.drawing import draw
from commands.crossval.pool import figures, located, narrowed, pool
from commands.crossval.tables import tell, write
from commands.crossval.unit import box_agreement
from thorax.errors import InputError
from thorax.settings import load


def unit(arm_skill: float, seed: int, fold: int, boxes=()) -> dict:
    """Ninety images of 45 patients; scores follow the truth by skill, and every fold has a scale of its own."""
    random = np.random.default_rng(100 * seed + fold)
    truth = (np.random.default_rng(fold).random((30, 2)) < 0.4).astype(int)
    scores = (arm_skill * truth + random.normal(size=(30, 2))) * 10.0**fold + fold
    names = [f"{fold}-{row}" for row in range(30)]
    return {
        "seed": seed,
        "fold": fold,
        "findings": ["Effusion", "Edema"],
        "image_id": names,
        "patient_id": [f"{fold}-{row // 2}" for row in range(30)],
        "truth": truth.tolist(),
        "scores": scores.tolist(),
        "boxes": list(boxes),
        "seconds": 9.0,
        "processor_seconds": 6.0,
    }


def pooled(skill: float, seeds: int = 2):
    found = pool([unit(skill, seed, fold) for seed in range(seeds) for fold in range(3)], 3)
    assert found is not None
    return found


def test_folds_of_different_scales_are_pooled_by_rank_and_agree_with_sklearn():
    from sklearn.metrics import average_precision_score, roc_auc_score

    one = pooled(1.5)
    arms = figures({"base": one, "worse": pooled(0.3)}, "base", 200, 0, 0.95)
    expected = np.mean([roc_auc_score(one.truth, scores) for scores in one.scores])
    assert arms["base"]["auroc"]["value"] == pytest.approx(expected)
    expected = np.mean([average_precision_score(one.truth, scores) for scores in one.scores])
    assert arms["base"]["auprc"]["value"] == pytest.approx(expected)
    assert arms["base"]["auroc"]["low"] < arms["base"]["auroc"]["value"] < arms["base"]["auroc"]["high"]
    gap = arms["worse"]["auroc_difference"]
    assert gap["value"] == pytest.approx(arms["worse"]["auroc"]["value"] - arms["base"]["auroc"]["value"])
    assert gap["high"] < 0
    assert arms["base"]["auroc_difference"] == {"value": 0, "low": 0, "high": 0}


def test_what_was_tried_with_fewer_seeds_is_compared_on_those_alone():
    both, one = pooled(1.5), pooled(0.3, seeds=1)
    told = figures({"base": both, "once": one}, "base", 50, 0, 0.95)["once"]
    first = figures({"base": pooled(1.5, seeds=1), "once": one}, "base", 50, 0, 0.95)["once"]
    assert told["auroc_difference"] == first["auroc_difference"]
    other = pool([unit(0.3, 7, fold) for fold in range(3)], 3)
    assert "auroc_difference" not in figures({"base": both, "other": other}, "base", 50, 0, 0.95)["other"]


def test_a_picture_of_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match="nothing to draw"):
        draw({"base": "custom_cnn", "tasks": {}}, tmp_path / "plot.png")


def test_the_mean_over_some_findings_is_theirs_alone():
    from sklearn.metrics import roc_auc_score

    one = pooled(1.5)
    arms = figures({"base": narrowed(one, ["Edema"])}, "base", 50, 0, 0.95)
    expected = np.mean([roc_auc_score(one.truth[:, 1], scores[:, 1]) for scores in one.scores])
    assert arms["base"]["auroc"]["value"] == pytest.approx(expected)
    assert list(arms["base"]["findings"]) == ["Edema"]


def test_a_seed_that_lacks_a_fold_is_left_out():
    units = [unit(1.0, seed, fold) for seed in range(2) for fold in range(3)]
    assert len(pool(units[:-1], 3).scores) == 1
    assert pool(units[:2], 3) is None


def test_located_boxes_are_averaged_over_findings_and_methods():
    def case(image, finding, hit):
        return {"image_id": image, "finding": finding, "methods": {"map": {"pointing_game": hit, "iou": 0.2}}}

    cases = [case("a", "Edema", 1.0), case("b", "Edema", 0.0), case("b", "Effusion", 1.0)]
    one = pool([unit(1.0, 0, fold, cases if fold == 0 else ()) for fold in range(3)], 3)
    told = located({"base": one}, 100, 0, 0.95)["base"]["map"]
    assert told["mean"]["pointing_game"]["value"] == pytest.approx(2 / 3)
    assert (told["mean"]["boxes"], told["Edema"]["boxes"]) == (3, 2)
    assert told["Effusion"]["iou"]["value"] == pytest.approx(0.2)


def test_the_screen_shows_means_of_boxes_and_the_page_every_finding(capsys, tmp_path):
    case = {"image_id": "a", "finding": "Edema", "methods": {"map": {"pointing_game": 1.0, "iou": 0.2}}}
    one = pool([unit(1.0, 0, fold, [case]) for fold in range(3)], 3)
    facts = {"images": 90, "patients": 45, "arms": figures({"base": one}, "base", 50, 0, 0.95), "within": {}}
    facts["boxes"] = located({"base": one}, 50, 0, 0.95)
    result = {"base": "base", "folds": 3, "units": 3, "finished": 3, "hours_left": 0, "tasks": {"x": facts}}
    tell(result)
    shown = capsys.readouterr().out
    assert shown.count("0.200 (0.200 to 0.200)") == 1
    assert "--markdown FILE" in shown
    write(tmp_path / "page.md", result)
    assert "| Edema | base | map | 3 | 1.000" in (tmp_path / "page.md").read_text()


def test_a_predicted_box_is_compared_by_its_centre_and_its_overlap():
    # Half of the reader's box, centre inside: IoU one half.
    told = box_agreement((0.25, 0.25, 0.25, 0.5), [(0.25, 0.25, 0.5, 0.5)])
    assert told == {"pointing_game": 1.0, "iou": pytest.approx(0.5, abs=0.02)}
    assert box_agreement((0.0, 0.0, 0.1, 0.1), [(0.5, 0.5, 0.2, 0.2)]) == {"pointing_game": 0.0, "iou": 0.0}


def test_techniques_are_turned_round_one_at_a_time(project):
    settings = load(project, preset="best")
    base = network_arm(settings, "densenet121")
    arms = technique_arms(base, list(TECHNIQUES))
    names = [arm.name for arm in arms]
    assert {"with ema", "with focal", "without augmentation", "with tta", "with cosine"} <= set(names)
    for arm in arms:
        changed = {key for key, value in arm.recipe.model_dump().items() if value != base.recipe.model_dump()[key]}
        assert 1 <= len(changed) <= 2, (arm.name, changed)
    with pytest.raises(InputError, match=r"no technique 'emma'. Did you mean ema\?"):
        technique_arms(base, ["emma"])


def test_the_references_have_the_budget_of_the_base(project):
    base = network_arm(load(project, preset="best"), "densenet121")
    plain, hog = reference_arms(load(project, preset="best"), base)
    assert (plain.recipe.loss, plain.recipe.optimizer, plain.recipe.learning_rate) == ("bce", "adam", 1e-3)
    assert (plain.recipe.schedule, plain.recipe.pretrained) == ("plateau", "none")
    assert (plain.recipe.epochs, plain.recipe.batch_size) == (base.recipe.epochs, base.recipe.batch_size)
    assert hog.kind == "hog"


def test_the_control_knows_nothing_from_elsewhere(project):
    base = network_arm(load(project, preset="best"), "custom_cnn")
    assert base.recipe.pretrained == "phantom"
    control = control_arm(base)
    assert control.shuffled
    assert control.recipe.pretrained == "none"


def run(home, *options: str):
    app = typer.Typer()
    app.command()(command.crossval)
    common = ["--task", "x", "--folds", "2", "--seeds", "1", "--no-references", "--architecture", "custom_cnn"]
    small = [
        "-S",
        "train.epochs=1",
        "-S",
        "train.overrides={}",
        "-S",
        "evaluation.bootstrap=50",
        "-S",
        "train.device=cpu",
    ]
    return CliRunner().invoke(app, [*common, *small, *options])


@pytest.fixture
def with_store(home, project, monkeypatch, tmp_path):
    monkeypatch.chdir(home)
    shutil.copytree(project / "presets", home / "presets")
    store = write_store(tmp_path / "store", count=80)
    monkeypatch.setattr(crossval_orders, "built_store", lambda *_: (store, {"key": "k"}))
    return home


def test_a_plan_trains_nothing(with_store):
    told = json.loads(run(with_store, "--plan", "--json", "--technique", "all").stdout)
    assert (told["units"], told["finished"]) == (2 * (2 + len(TECHNIQUES)), 0)
    assert not list((with_store / "var").rglob("seed-*.json"))


def test_an_unknown_architecture_is_named_before_anything_is_trained(with_store):
    result = run(with_store, "--architecture", "resnet5", "--plan")
    assert "Did you mean resnet50" in str(result.exception)


@pytest.mark.slow
def test_it_goes_on_where_it_was_and_says_what_it_found(with_store, monkeypatch, tmp_path):
    from commands.crossval import unit as crossval_unit

    ran = []
    real = crossval_unit.run_unit

    def counted(orders):
        if len(ran) == 2:
            raise KeyboardInterrupt
        ran.append(orders[0]["arm"])
        return real(orders)

    monkeypatch.setattr(crossval_unit, "run_unit", counted)
    assert run(with_store, "--technique", "ema").exit_code != 0
    kept = sorted(path.name for path in (with_store / "var").rglob("seed-*.json"))
    assert len(kept) == 2
    monkeypatch.setattr(crossval_unit, "run_unit", lambda orders: ran.append(orders[0]["arm"]) or real(orders))
    pages = ["--markdown", str(tmp_path / "table.md"), "--plot", str(tmp_path / "plot.svg")]
    result = run(with_store, "--technique", "ema", "--json", *pages)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert sorted(ran) == sorted(["custom_cnn", "shuffled labels", "with ema"] * 2)
    assert (told["finished"], told["units"]) == (6, 6)
    arms = told["tasks"]["x"]["arms"]
    assert list(arms) == ["custom_cnn", "shuffled labels", "with ema"]
    assert 0 <= arms["with ema"]["auroc"]["value"] <= 1
    written = (tmp_path / "table.md").read_text()
    assert "| custom_cnn |" in written
    assert "6 of 6 units finished" in written
    assert "with ema (1 seed)" in (tmp_path / "plot.svg").read_text()
    # Another recipe is another unit.
    again = json.loads(run(with_store, "--plan", "--json", "-S", "train.learning_rate=0.01").stdout)
    assert again["finished"] == 0


@pytest.mark.slow
def test_what_another_run_of_the_study_has_is_left_to_it(with_store, monkeypatch):
    from filelock import FileLock

    planned = []
    real = crossval_orders.unit_orders
    monkeypatch.setattr(crossval_orders, "unit_orders", lambda *args: planned.append(real(*args)) or planned[-1])
    run(with_store, "--no-control", "--plan")
    claim = with_store / f"{planned[0][0]['running']}.lock"
    claim.parent.mkdir(parents=True)
    with FileLock(claim):
        result = run(with_store, "--no-control", "--json")
        assert "1 units are running in another process of this study." in " ".join(result.stderr.split())
        assert json.loads(result.stdout)["finished"] == 1
    assert json.loads(run(with_store, "--no-control", "--json").stdout)["finished"] == 2
    assert not list((with_store / "var" / "crossval" / "study" / "running").iterdir()), "no claim is left behind"


@pytest.mark.slow
def test_how_a_network_is_asked_needs_no_training_of_its_own(with_store, monkeypatch):
    from thorax import training

    learned = []
    real = training.learn
    monkeypatch.setattr(training, "learn", lambda *args, **more: learned.append(args[1]) or real(*args, **more))
    result = run(with_store, "--no-control", "--technique", "tta", "--json")
    assert result.exit_code == 0, result.output
    arms = json.loads(result.stdout)["tasks"]["x"]["arms"]
    assert learned == ["custom_cnn"] * 2, "one training a fold, for two arms"
    assert arms["with tta"]["auroc"]["value"] != arms["custom_cnn"]["auroc"]["value"]
    assert arms["with tta"]["processor_seconds"] > arms["custom_cnn"]["processor_seconds"] > 0


@pytest.mark.slow
def test_a_unit_compares_every_kind_of_map_with_the_readers_boxes(tmp_path):
    from commands.crossval.unit import run_unit

    store = add_boxes(write_store(tmp_path / "store", count=120))
    recipe = quick_recipe(epochs=5, boxes={"weight": 5.0}, stride=8).model_dump(mode="json")
    order = {"task": "x", "arm": "custom_cnn", "kind": "network", "architecture": "custom_cnn", "recipe": recipe}
    order |= {"shuffled": False, "seed": 1, "fold": 0, "folds": 3, "fold_seed": 0, "boxes": True, "threads": 1}
    order |= {"key": "k", "store": str(store), "out": str(tmp_path / "unit.json"), "running": str(tmp_path / "running")}
    order |= {"pretrained": str(tmp_path)}
    run_unit([order])
    unit = json.loads((tmp_path / "unit.json").read_text())
    truth = np.array(unit["truth"])
    assert len(unit["boxes"]) == truth.sum()
    means = {
        method: np.mean(
            [[case["methods"][method][key] for key in ("pointing_game", "iou")] for case in unit["boxes"]], axis=0
        )
        for method in unit["boxes"][0]["methods"]
    }
    assert set(means) == {"class activation map", "random map", "Grad-CAM", "Grad-CAM++", "box head"}
    assert means["box head"][1] > 2 * means["random map"][1]
    assert means["class activation map"][0] > means["random map"][0]
    assert not (tmp_path / "running").exists()
