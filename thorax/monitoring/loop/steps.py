"""Carrying a retraining out, step by step; each step can be repeated, so that a kill between any two costs nothing.

`collect` copies the new confirmed cases aside; `revise` adds them to the dataset as a data revision; `train` runs the
training pipeline, whose result stands as challenger; `promote` makes it champion where that is allowed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thorax.datasets import confirmed, pointers, versioning
from thorax.errors import GateError, ThoraxError
from thorax.files import read_json, write_json
from thorax.monitoring.loop.gather import Sources, gather, stage, staged
from thorax.monitoring.loop.journal import STEPS, Journal, Retraining
from thorax.monitoring.loop.lock import BusyError
from thorax.settings import Settings

Say = Callable[[str], None]


@dataclass(frozen=True)
class Tools:
    """What the loop needs of others.

    Attributes:
        sources: where confirmed cases come from; None where the deployment keeps none.
        made: the version that a retraining has already made, by its mark, with its facts; None for none.
        train: run the training pipeline with a reason; returns version, passed, gates, aliases.
        promote: make a version champion, once a mark, with a reason; returns whether it is champion now.
        undisturbed: a context in which no pipeline run reads the dataset.
    """

    sources: Callable[[], Sources | None]
    made: Callable[[str], dict[str, Any] | None]
    train: Callable[[Settings, str], dict[str, Any]]
    promote: Callable[[str, str, str], bool]
    undisturbed: Callable[[], Any]


def carry_out(
    settings: Settings,
    journal: Journal,
    retraining: Retraining,
    tools: Tools,
    say: Say,
    through: str = STEPS[-1],
) -> Retraining:
    """Go on with a retraining behind its last finished step, to its end or through the step that is named.

    Raises:
        ThoraxError: a step failed; the journal says which and why, and the retraining stays unfinished.
    """
    runner = _Runner(settings, retraining, tools, say)
    while (step := retraining.next_step) is not None:
        if STEPS.index(step) > STEPS.index(through):
            return retraining
        journal.append(retraining.id, "begin", step)
        try:
            facts = getattr(runner, step)()
        except (BusyError, KeyboardInterrupt):
            # Somebody else is at it, or a person ended it: neither is a failure of the step.
            journal.append(retraining.id, "paused", step)
            raise
        except ThoraxError as error:
            journal.append(retraining.id, "failed", step, message=error.message, mend=error.mend)
            raise
        journal.append(retraining.id, "done", step, **facts)
        retraining.done[step] = facts
    retraining.outcome = outcome(retraining)
    journal.append(retraining.id, "end", outcome=retraining.outcome)
    return retraining


def outcome(retraining: Retraining) -> str:
    """Say how a retraining ended."""
    train, promoted = retraining.done["train"], retraining.done["promote"]
    version = f"version {train['version']}"
    if promoted.get("unchanged"):
        return f"nothing has changed: this is {version}"
    if promoted["champion"]:
        return f"{version} is champion"
    return f"{version} stands as challenger: {promoted['why']}"


def folder_of(settings: Settings, retraining: Retraining) -> Path:
    """Return where a retraining keeps what it collected."""
    return settings.var / "monitoring" / "retrainings" / retraining.id


class _Runner:
    """The steps; each returns the facts that the journal keeps."""

    def __init__(self, settings: Settings, retraining: Retraining, tools: Tools, say: Say) -> None:
        self._settings = settings
        self._retraining = retraining
        self._tools = tools
        self._say = say
        self._folder = folder_of(settings, retraining)
        self._reason = retraining.full_reason

    def collect(self) -> dict[str, Any]:
        summary = self._folder / "collected.json"
        if summary.is_file():  # killed between its end and the journal: what was chosen stays chosen
            return dict(read_json(summary))
        sources = self._tools.sources()
        facts: dict[str, Any] = {"cases": 0, "left_out": {}}
        if sources is not None:
            found = gather(sources)
            count = stage(found, self._folder, self._retraining.id, self._retraining.since)
            facts = {"cases": count, "left_out": dict(sorted(found.left_out.items()))}
        write_json(summary, facts)
        self._say(f"{facts['cases']} new confirmed cases collected")
        return facts

    def revise(self) -> dict[str, Any]:
        settings = self._settings
        root, how = settings.data_root, settings.monitor.retrain
        if not self._retraining.done["collect"]["cases"]:
            revision = versioning.revision(settings.home, root)
            self._say(f"The data stay as they are, at revision {revision[:8]}")
            return {"revision": revision, "added": 0, "commit": ""}
        pointer = versioning.pointer(root)
        if pointer is None:
            versioning.require_repository(settings.home)
            raise ThoraxError(
                f"{root} is not versioned, so confirmed cases cannot become a revision of it.",
                f"Run `thorax data add {root}` and commit its .dvc file.",
            )
        cases = staged(self._folder)
        began = self._folder / "revising"
        with self._tools.undisturbed():
            if not began.exists():
                # Ours is to be the only change; after a kill in the midst of it, it is a part of ours.
                versioning.check(settings.home, root)
                began.touch()
            confirmed.add(root, cases, settings.split)
            state = versioning.track(settings.home, root)
        subject = f"Add {len(cases)} confirmed cases to {root.name}"
        commit = pointers.commit(pointer, f"{subject}\n\n{self._retraining.mark}", how.commit, how.branch)
        self._say(f"{len(cases)} cases added: data revision {state.revision[:8]}")
        if not commit and how.commit != "none":
            self._say(f"{pointer.name} is not committed: the project is not a Git repository (`git init` makes it one)")
        if how.push:
            self._say(f"{versioning.push(settings.home, root)} files pushed to the remote")
        return {"revision": state.revision, "added": len(cases), "commit": commit}

    def train(self) -> dict[str, Any]:
        facts = self._tools.made(self._retraining.mark)
        if facts is None:
            facts = self._tools.train(self._settings, self._reason)
        self._say(f"Version {facts['version']}: gates {'passed' if facts['passed'] else 'not passed'}")
        return facts

    def promote(self) -> dict[str, Any]:
        trained = self._retraining.done["train"]
        if not trained.get("new", True) and ("champion" in trained["aliases"] or not trained["aliases"]):
            # Promoting the champion changes nothing, and another was decided on before.
            return {"champion": "champion" in trained["aliases"], "why": "it was registered before", "unchanged": True}
        if not trained["passed"]:
            failed = ", ".join(gate["name"] for gate in trained["gates"] if not gate["passed"])
            return {"champion": False, "why": f"it did not pass {failed}"}
        if not self._settings.registry.auto_promote:
            return {"champion": False, "why": "a person promotes it (registry.auto_promote is off)"}
        try:
            now = self._tools.promote(trained["version"], self._retraining.mark, self._reason)
        except GateError as error:
            return {"champion": False, "why": error.message}
        return {"champion": now, "why": "" if now else "it was champion, and is no longer"}
