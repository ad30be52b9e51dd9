"""A search proposes within its space, prunes what lags, survives an interruption, and keeps to one basis."""

import numpy as np
import pytest
from trainable_store import quick_recipe

from thorax.errors import InputError
from thorax.preprocessing.store import ImageStore
from thorax.settings import Train, Tune, with_values
from thorax.training import TrainingError, search

BASIS = {"architecture": "custom_cnn", "train": {"epochs": 2}}
SPACE = {
    "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "loss": ["bce", "focal"],
    "augment.shift": [0.0, 0.05],
}


@pytest.fixture
def tune():
    return Tune(space=SPACE, startup_trials=2, warmup_epochs=0)


def opened(tmp_path, tune):
    return search.open_study(tmp_path / "study.db", BASIS, tune, seed=0)


def run(tmp_path, tune, store_folder, trials, **options):
    study = opened(tmp_path, tune)
    recipe = quick_recipe(epochs=2)
    store = ImageStore.open(store_folder)
    search.search(study, store, "custom_cnn", recipe, tune, tmp_path / "running", trials=trials, **options)
    return study


@pytest.mark.slow
def test_trials_stay_in_their_space_and_the_best_comes_first(tmp_path, tune, store_folder):
    told = []
    study = run(tmp_path, tune, store_folder, 3, tell=told.append)
    assert sum(search.counts(study).values()) == 3
    best = search.best_trials(study)
    assert best
    assert [trial["score"] for trial in best] == sorted((trial["score"] for trial in best), reverse=True)
    for trial in best:
        assert 1e-4 <= trial["values"]["learning_rate"] <= 1e-2
        assert trial["values"]["loss"] in ("bce", "focal")
    assert [one.number for one in told if one.event == "start"] == [0, 1, 2]
    ended = {one.number: one.score for one in told if one.event == "end"}
    assert ended[best[0]["number"]] == pytest.approx(best[0]["score"])
    assert not list((tmp_path / "running").glob("*"))


@pytest.mark.slow
def test_what_lags_behind_the_median_is_pruned(tmp_path, tune, store_folder, monkeypatch):
    from thorax.training import fit

    scores = iter([0.9, 0.9, 0.8, 0.8, 0.2, 0.2])
    monkeypatch.setattr(fit, "aurocs", lambda *_: {"Effusion": next(scores)})
    study = run(tmp_path, tune, store_folder, 3)
    assert search.counts(study) == {"complete": 2, "pruned": 1, "failed": 0}


def test_an_interruption_keeps_what_is_done_and_the_trial_is_run_again(tmp_path, tune, store_folder):
    seen = []

    def interrupt(told):
        seen.append(told)
        if told.event == "epoch" and told.number == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, tune, store_folder, 3, tell=interrupt)
    assert seen[-1].state == "interrupted"
    asked = seen[-1].values
    again = []
    study = run(tmp_path, tune, store_folder, 2, tell=again.append)
    assert again[0].values == asked
    assert len(search.best_trials(study)) + search.counts(study)["pruned"] == 3


@pytest.mark.slow
def test_a_trial_whose_loss_is_not_finite_fails_alone(tmp_path, tune, store_folder, monkeypatch):
    real, calls = search.learn, []

    def learn(*arguments, **options):
        calls.append(1)
        if len(calls) == 1:
            raise TrainingError("the loss became nan")
        return real(*arguments, **options)

    monkeypatch.setattr(search, "learn", learn)
    assert search.counts(run(tmp_path, tune, store_folder, 2))["failed"] == 1


def test_a_study_of_other_settings_is_refused(tmp_path, tune):
    opened(tmp_path, tune)
    with pytest.raises(InputError, match=r"other settings: train.epochs was 2 and is 9. Name another with --study"):
        search.open_study(tmp_path / "study.db", {**BASIS, "train": {"epochs": 9}}, tune, 0)


def test_the_same_seed_proposes_the_same(tmp_path, tune):
    first, second = (
        search.open_study(tmp_path / name, BASIS, tune, seed=4).ask().suggest_float("x", 0, 1)
        for name in ("one.db", "two.db")
    )
    assert np.isclose(first, second)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"learning_rat": [0.1]}, r"space.learning_rat: no setting of train. Did you mean learning_rate"),
        ({"augment.rotat": [1.0]}, r"space.augment.rotat: no setting of train. Did you mean rotate"),
        ({"loss": ["bce", "focall"]}, r"space.loss: 'focall'"),
        ({"dropout": {"low": 0.5, "high": 0.1}}, r"low must lie below high"),
        ({"epochs": []}, r"space.epochs"),
        ({"overrides": [{}]}, r"space.overrides: no setting of train"),
    ],
)
def test_a_space_that_makes_no_sense_is_named(space, said):
    with pytest.raises(ValueError, match=said):
        Tune(space=space)


def test_values_are_put_where_they_belong():
    changed = with_values(Train(), {"augment.rotate": 3.0, "loss": "bce"})
    assert (changed.augment.rotate, changed.loss, changed.augment.shift) == (3.0, "bce", Train().augment.shift)
