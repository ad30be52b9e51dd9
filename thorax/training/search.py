"""Search for a recipe: Optuna proposes, trials train, bad ones are pruned, and all of it can be taken up again."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thorax import settings
from thorax.errors import InputError
from thorax.files import digest_json, sqlite_url
from thorax.settings import Range, with_values
from thorax.training.checkpoint import first_difference
from thorax.training.run import learn
from thorax.training.runtime import steady
from thorax.training.step import TrainingError

if TYPE_CHECKING:
    import optuna

_BASIS, _INTERRUPTED = "thorax.basis", "thorax.interrupted"


@dataclass(frozen=True)
class Told:
    """What a search tells of a trial.

    Attributes:
        event: "start", "epoch" or "end".
        number: of the trial, from 0.
        values: what it tries.
        curve: for "epoch", the row of the learning curves.
        score: best validation AUROC so far, or None.
        state: for "end": complete, pruned, failed or interrupted.
    """

    event: str
    number: int
    values: dict[str, Any]
    curve: dict[str, Any] | None = None
    score: float | None = None
    state: str = ""


def open_study(file: Path, basis: dict[str, Any], tune: settings.Tune, seed: int) -> "optuna.Study":
    """Open a study, or begin it; trials that an interruption left open are to be run again.

    Args:
        file: the SQLite database.
        basis: JSON-able; what all trials must have in common: data, architecture, recipe, space.
        tune: the search.
        seed: of the sampler.

    Raises:
        InputError: the study was begun on another basis; the first difference is named.
    """
    import optuna
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    file.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=sqlite_url(file.absolute()),
        study_name=file.stem,
        direction="maximize",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=tune.startup_trials),
        pruner=optuna.pruners.MedianPruner(
            n_startup_trials=max(1, tune.startup_trials), n_warmup_steps=tune.warmup_epochs
        ),
    )
    kept = study.user_attrs.get(_BASIS)
    if kept is None:
        study.set_user_attr(_BASIS, basis)
    elif difference := first_difference(kept, basis):
        raise InputError(f"The study {file} is of other settings: {difference}.", "Name another with --study.")
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        # Its process was killed before it could say so.
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    return study


def search(
    study: "optuna.Study",
    store: Any,
    architecture: str,
    recipe: settings.Train,
    tune: settings.Tune,
    folder: Path,
    *,
    trials: int,
    timeout: float | None = None,
    tell: Callable[[Told], None] = lambda told: None,
    pretrained_dir: Path = Path("var/pretrained"),
) -> None:
    """Run trials until so many more are finished, or the time is up; Ctrl-C keeps what is done.

    A trial trains on the train split and is judged by its best validation AUROC; after each epoch it is pruned where
    it lies below the median of earlier trials. A trial whose loss is not finite fails, and the search goes on.

    Args:
        study: from `open_study`.
        store: an open `ImageStore`.
        architecture: as for `learn`.
        recipe: what trials have in common.
        tune: the space.
        folder: for checkpoints of trials under way.
        trials: how many to run.
        timeout: seconds, after which no new trial begins; None for no limit.
        tell: told of each trial's start, epochs and end.
        pretrained_dir: as for `learn`.
    """
    study.optimize(
        lambda trial: _try(trial, store, architecture, recipe, tune, folder, tell, pretrained_dir),
        n_trials=trials,
        timeout=timeout,
        catch=(TrainingError,),
    )


def _try(
    trial: "optuna.Trial",
    store: Any,
    architecture: str,
    recipe: settings.Train,
    tune: settings.Tune,
    folder: Path,
    tell: Callable[[Told], None],
    pretrained_dir: Path,
) -> float:
    import shutil

    import optuna

    values = {path: _suggest(trial, path, choice) for path, choice in tune.space.items()}
    running = folder / digest_json(values)[:16]
    best: float | None = None
    state = "failed"

    def report(update: dict[str, Any]) -> None:
        nonlocal best
        curve = update["curve"]
        if curve is None:
            return
        score = curve["validation_auroc"]
        if score is not None:
            best = score if best is None else max(best, score)
            trial.report(score, curve["epoch"])
        tell(Told("epoch", trial.number, values, curve, best))
        if trial.should_prune():
            raise optuna.TrialPruned

    tell(Told("start", trial.number, values))
    try:
        changed = with_values(recipe, values)
        with steady(changed):
            _, ended = learn(
                store,
                architecture,
                changed,
                checkpoints=running,
                report=report,
                failures=folder,
                pretrained_dir=pretrained_dir,
            )
        best, state = ended.best_score, "complete"
    except optuna.TrialPruned:
        state = "pruned"
        raise
    except (KeyboardInterrupt, SystemExit):
        state = "interrupted"
        trial.set_user_attr(_INTERRUPTED, True)
        trial.study.enqueue_trial(trial.params)
        raise
    finally:
        tell(Told("end", trial.number, values, None, best, state))
        if state != "interrupted":
            shutil.rmtree(running, ignore_errors=True)
    assert best is not None
    return best


def _suggest(trial: "optuna.Trial", path: str, choice: Any) -> Any:
    if isinstance(choice, Range):
        return trial.suggest_float(path, choice.low, choice.high, log=choice.log)
    return trial.suggest_categorical(path, list(choice))


def best_trials(study: "optuna.Study", count: int = 10) -> list[dict[str, Any]]:
    """Return the finished trials with the highest scores, the best first: number, score, seconds, values."""
    from optuna.trial import TrialState

    done = [
        trial for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)) if trial.value is not None
    ]
    ranked = sorted(done, key=lambda trial: (-float(trial.value or 0.0), trial.number))[:count]
    return [
        {
            "number": trial.number,
            "score": trial.value,
            "seconds": trial.duration.total_seconds() if trial.duration else None,
            "values": trial.params,
        }
        for trial in ranked
    ]


def counts(study: "optuna.Study") -> dict[str, int]:
    """Return how many trials ended how: complete, pruned, failed. One that was interrupted is run again."""
    from optuna.trial import TrialState

    trials = [trial for trial in study.get_trials(deepcopy=False) if _INTERRUPTED not in trial.user_attrs]
    kinds = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
    return {name: sum(trial.state == state for trial in trials) for name, state in kinds.items()}
