"""A retraining from alarm to champion: in order, once, through kills and failures; on a real DVC repository."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from thorax.datasets import confirmed, pointers, versioning
from thorax.errors import GateError, InputError, ThoraxError
from thorax.monitoring.loop import rounds, steps
from thorax.monitoring.loop.decision import Alarm
from thorax.monitoring.loop.gather import Sources
from thorax.monitoring.loop.journal import Journal, journal_path
from thorax.monitoring.loop.lock import BusyError
from thorax.monitoring.loop.rounds import answer, by_hand, give_up
from thorax.monitoring.loop.steps import Tools, carry_out
from thorax.prediction_log.record import digest
from thorax.settings import Settings, load

ALARM = Alarm("1-1-x", "1", "2026-11-22T00:00:00+00:00", "Drift in brightness")
SALT = b"s" * 32


class World:
    """A project with data, a deployment that keeps radiographs, and a registry that counts what it is asked."""

    def __init__(self, place: Path, overrides: tuple[str, ...] = ()) -> None:
        self.home = place
        self.settings: Settings = load(
            place,
            ["monitor.retrain.min_new_cases=3", "registry.auto_promote=true", "data.findings=[Edema]", *overrides],
        )
        self.counts: Counter[str] = Counter()
        self.versions = place / "versions.json"
        self.passed = True

    @property
    def made(self) -> dict[str, Any]:
        return json.loads(self.versions.read_text()) if self.versions.exists() else {}

    def train(self, settings: Settings, reason: str) -> dict[str, Any]:
        self.counts["train"] += 1
        revision = versioning.revision(settings.home, settings.data_root)
        known = self.made
        mark = reason[reason.index("[") :]
        facts = {"version": str(len(known) + 2), "passed": self.passed, "gates": [], "aliases": ["challenger"]}
        facts["gates"] = [{"name": "mean_auroc", "passed": self.passed}]
        self.versions.write_text(json.dumps(known | {mark: facts | {"revision": revision}}))
        return facts

    def found(self, mark: str) -> dict[str, Any] | None:
        return self.made.get(mark)

    def promote(self, version: str, mark: str, reason: str) -> bool:
        self.counts["promote"] += 1
        return True

    def sources(self) -> Sources:
        drop = self.home / "drop"
        files = sorted(drop.glob("*/*.png"))
        predictions = pd.DataFrame(
            {
                "request_id": [f"r{i}" for i in range(len(files))],
                "time": pd.Timestamp("2026-11-22T08:00", tz="UTC"),
                "image_digest": [digest(SALT, file.read_bytes()) for file in files],
                "view": "PA",
                "age": 50.0,
                "sex": "F",
            }
        )
        said = {"time": predictions["time"], "role": "radiologist", "finding": "Edema", "present": 1}
        feedback = pd.DataFrame({"request_id": predictions["request_id"], **said})
        return Sources(drop, self.settings.data_root, predictions, feedback, SALT, ("Edema",))

    @property
    def tools(self) -> Tools:
        return Tools(self.sources, self.found, self.train, self.promote, nullcontext)

    def answer(self, alarm: Alarm | None = ALARM, tools: Tools | None = None) -> rounds.Round:
        return answer(self.settings, alarm, tools or self.tools, lambda: "")

    @property
    def journal(self) -> Journal:
        return Journal(journal_path(self.settings.var))

    def git(self, *arguments: str) -> str:
        name = ["-c", "user.name=tester", "-c", "user.email=tester@example.org"]
        command = ["git", *name, *arguments]
        return subprocess.run(command, cwd=self.home, check=True, capture_output=True, text=True).stdout.strip()

    def copy(self, place: Path) -> "World":
        shutil.copytree(self.home, place)
        return World(place)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, project: Path) -> World:
    from dvc.repo import Repo

    place = tmp_path_factory.mktemp("template")
    shutil.copy(project / "params.yaml", place / "params.yaml")
    world = World(place)
    generator = np.random.default_rng(0)
    for name in ("data/images/a.png", *(f"drop/p{i}/{i}.png" for i in range(5))):
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (32, 32), dtype=np.uint8)).save(path)
    world.git("init", "-q", "-b", "main")
    Repo.init(str(place)).close()
    versioning.track(place, world.settings.data_root)
    (place / ".gitignore").write_text("/data\n/drop\n/var\n/versions.json\n/.dvc/tmp\n")
    world.git("add", "-A")
    world.git("commit", "-qm", "begin")
    return world


@pytest.fixture
def world(template: World, tmp_path: Path) -> World:
    return template.copy(tmp_path / "project")


def test_an_alarm_becomes_a_champion_on_a_new_revision(world: World) -> None:
    before = versioning.revision(world.home, world.settings.data_root)
    done = world.answer()
    assert done.decision.action == "retrain"
    assert done.retraining is not None
    assert done.retraining.outcome == "version 2 is champion"
    facts = done.retraining.done
    assert facts["collect"] == {"cases": 5, "left_out": {}}
    assert facts["revise"]["added"] == 5
    assert facts["revise"]["revision"] != before
    (made,) = world.made.values()
    assert made["revision"] == facts["revise"]["revision"], "it was trained on what was added"
    branch = world.settings.monitor.retrain.branch
    assert world.git("rev-parse", branch) == facts["revise"]["commit"]
    assert facts["revise"]["revision"] in world.git("show", f"{branch}:data.dvc")
    assert world.answer(None).decision.action == "nothing"
    assert "cool-down" in world.answer().decision.why
    assert world.counts == {"train": 1, "promote": 1}


def test_promotion_is_left_to_a_person_unless_the_settings_say_otherwise(template: World, tmp_path: Path) -> None:
    copied = template.copy(tmp_path / "project")
    careful = World(copied.home, ("registry.auto_promote=false",))
    done = careful.answer().retraining
    assert done is not None
    assert done.outcome == "version 2 stands as challenger: a person promotes it (registry.auto_promote is off)"
    assert careful.counts["promote"] == 0


@pytest.mark.parametrize(("aliases", "champion"), [(["champion"], True), ([], False)])
def test_a_retraining_that_gives_a_registered_version_again_promotes_nothing(
    template: World, tmp_path: Path, aliases: list[str], champion: bool
) -> None:
    world = template.copy(tmp_path / "project")
    facts = {"version": "1", "passed": True, "gates": [], "aliases": aliases, "new": False}
    tools = replace(world.tools, train=lambda settings, reason: facts)
    done = world.answer(tools=tools).retraining
    assert done is not None
    assert done.outcome == "nothing has changed: this is version 1"
    assert done.done["promote"]["champion"] is champion
    assert world.counts["promote"] == 0


def test_another_process_may_train_between_the_revision_and_the_end(world: World) -> None:
    """As on a cluster, where each is a step of its own."""

    def elsewhere(settings: Settings, reason: str) -> dict[str, Any]:
        raise InputError("The training has not made a version yet.")

    tools = world.tools
    here = replace(tools, train=elsewhere)
    prepared = answer(world.settings, ALARM, here, lambda: "", through="revise").retraining
    assert prepared is not None
    assert prepared.next_step == "train"
    assert prepared.done["revise"]["added"] == 5
    world.train(world.settings, prepared.full_reason)
    done = carry_out(world.settings, world.journal, world.journal.retrainings()[0], here, lambda text: None)
    assert done.outcome == "version 2 is champion"
    assert world.journal.unfinished() is None


def test_a_version_that_did_not_pass_is_not_promoted(world: World) -> None:
    world.passed = False
    done = world.answer().retraining
    assert done is not None
    assert done.outcome == "version 2 stands as challenger: it did not pass mean_auroc"


def test_a_promotion_that_is_refused_leaves_a_challenger(world: World) -> None:
    def refuse(version: str, mark: str, reason: str) -> bool:
        raise GateError("Version 2 needs the approval of a second person.")

    tools = world.tools
    done = world.answer(tools=Tools(tools.sources, tools.made, tools.train, refuse, tools.undisturbed)).retraining
    assert done is not None
    assert "needs the approval" in done.outcome


def test_a_training_that_fails_is_tried_once_more_and_then_left_to_a_person(world: World) -> None:
    def fail(settings: Settings, reason: str) -> dict[str, Any]:
        raise ThoraxError("The step train failed: out of memory.")

    tools = world.tools
    broken = replace(tools, train=fail)
    for _ in range(2):
        with pytest.raises(ThoraxError, match="out of memory"):
            world.answer(tools=broken)
    held = world.answer(tools=broken)
    assert held.decision.action == "hold"
    assert "train failed 2 times, the last time: The step train failed: out of memory." in held.decision.why
    told = world.journal.retrainings()
    assert [item["step"] for item in told[0].failures] == ["train", "train"]
    done = by_hand(world.settings, "memory was added", world.tools)
    assert done.decision.action == "resume", "a person lets it go on, and nothing is collected anew"
    assert done.retraining is not None
    assert done.retraining.outcome == "version 2 is champion"
    assert world.counts["train"] == 1


def test_a_pipeline_run_of_somebody_else_is_no_failure(world: World) -> None:
    def busy(settings: Settings, reason: str) -> dict[str, Any]:
        raise BusyError("A pipeline run is under way.")

    tools = world.tools
    for _ in range(7):
        with pytest.raises(BusyError):
            world.answer(tools=replace(tools, train=busy))
    done = world.answer().retraining
    assert done is not None
    assert done.outcome == "version 2 is champion"


def test_what_cannot_be_finished_can_be_given_up(world: World) -> None:
    def fail(settings: Settings, reason: str) -> dict[str, Any]:
        raise ThoraxError("no")

    tools = world.tools
    with pytest.raises(ThoraxError):
        world.answer(tools=replace(tools, train=fail))
    with pytest.raises(InputError, match="needs a reason"):
        give_up(world.settings, " ")
    assert give_up(world.settings, "the scanner was repaired").outcome == "given up: the scanner was repaired"
    assert world.answer(None).decision.action == "nothing"
    with pytest.raises(InputError, match="No retraining is unfinished"):
        give_up(world.settings, "again")


def test_a_revision_that_cannot_be_pushed_is_trained_on_by_nobody(template: World, tmp_path: Path) -> None:
    copied = template.copy(tmp_path / "project")
    pushing = World(copied.home, ("monitor.retrain.push=true",))
    with pytest.raises(InputError, match=r"DVC failed: .*no remote"):
        pushing.answer()
    failures = pushing.journal.retrainings()[0].failures
    assert failures[0]["step"] == "revise"
    assert "no remote" in failures[0]["message"]
    assert pushing.counts["train"] == 0
    subprocess.run(
        [sys.executable, "-m", "dvc", "remote", "add", "-q", "-d", "r", str(tmp_path / "r")], cwd=pushing.home
    )
    done = pushing.answer()
    assert done.decision.action == "resume"
    assert done.retraining is not None
    assert len(list((tmp_path / "r").rglob("*"))) > 6, "images, table and the folder's list are at the remote"


def test_data_that_somebody_is_changing_are_not_touched(world: World) -> None:
    (world.settings.data_root / "images" / "b.png").write_bytes(b"in the making")
    with pytest.raises(InputError, match="differs from revision"):
        world.answer()
    assert not confirmed.table_path(world.settings.data_root).exists()


def test_by_hand_it_needs_a_reason_and_no_cases(template: World, tmp_path: Path) -> None:
    copied = template.copy(tmp_path / "project")
    with pytest.raises(InputError, match="needs a reason"):
        by_hand(copied.settings, " ", copied.tools)
    tools = copied.tools
    alone = replace(tools, sources=lambda: None)
    done = by_hand(copied.settings, "a new recipe", alone).retraining
    assert done is not None
    assert done.done["revise"]["added"] == 0
    assert (copied.counts["train"], done.origin) == (1, "hand")


class Killed(BaseException):
    """Stands for a process that is gone: nothing catches it."""


#: What is done to the world: each is a place where a process may die, before it and after it.
EFFECTS = (
    (Journal, "append"),
    (steps, "stage"),
    (steps, "write_json"),
    (confirmed, "add"),
    (versioning, "track"),
    (pointers, "commit"),
    (World, "train"),
    (World, "promote"),
)


@contextmanager
def mortal(monkeypatch: pytest.MonkeyPatch, lives: int) -> Iterator[list[int]]:
    """Let the process die before or after its n-th effect."""
    left = [lives]

    def doomed(effect: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            _spend(left)
            result = effect(*args, **kwargs)
            _spend(left)
            return result

        return wrapped

    with monkeypatch.context() as patch:
        for owner, name in EFFECTS:
            patch.setattr(owner, name, doomed(getattr(owner, name)))
        yield left


def _spend(left: list[int]) -> None:
    if left[0] == 0:
        raise Killed
    left[0] -= 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_kill_at_any_point_is_made_good_by_the_next_run_and_nothing_is_done_twice(
    template: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = template.copy(tmp_path / "whole")
    whole.answer()
    expected = versioning.recorded(whole.home / "data.dvc")
    lives, finished = 0, False
    while not finished:
        world = template.copy(tmp_path / f"killed{lives}")
        with mortal(monkeypatch, lives):
            try:
                world.answer()
                finished = True
            except Killed:
                pass
        # The alarm lasts, and the next run comes by.
        world.answer()
        (told,) = world.journal.retrainings()
        assert told.outcome == "version 2 is champion", lives
        assert len(world.made) == 1, lives
        # A run that was killed within a training repeats it, and the registry's mark keeps its version single.
        assert world.counts["train"] == 1, lives
        assert world.git("rev-list", "--count", "main..thorax/confirmed-cases") == "1", lives
        assert len(confirmed.keys(world.settings.data_root)) == 5, lives
        assert confirmed_splits(world) == confirmed_splits(whole), lives
        assert set(told.done) == {"collect", "revise", "train", "promote"}
        shutil.rmtree(world.home)
        lives += 1
    assert expected
    assert lives >= 25


def confirmed_splits(world: World) -> dict[str, str]:
    table = pd.read_csv(confirmed.table_path(world.settings.data_root))
    return dict(zip(table["path"].str.rsplit("/").str[-1], table["split"], strict=True))


_WORKER = """
import sys, time
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
import importlib.util
spec = importlib.util.spec_from_file_location("steps_under_test", sys.argv[2])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
world = module.World(Path(sys.argv[3]))
tools = world.tools
def linger(settings, reason):
    (world.home / "training").touch()
    time.sleep(120)
tools = module.Tools(tools.sources, tools.made, linger, tools.promote, tools.undisturbed)
module.answer(world.settings, module.ALARM, tools, lambda: "")
"""


@pytest.mark.slow
def test_a_real_kill_while_it_trains_leaves_a_lock_that_opens_and_a_run_that_goes_on(world: World) -> None:
    arguments = [str(Path(__file__).parent), __file__, str(world.home)]
    process = subprocess.Popen([sys.executable, "-c", _WORKER, *arguments])
    deadline = time.monotonic() + 100
    while not (world.home / "training").exists():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with pytest.raises(ThoraxError, match=f"Another monitoring run is under way: process {process.pid}"):
        world.answer()
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = world.answer()
    assert done.decision.action == "resume"
    assert [entry.event for entry in world.journal.entries()].count("open") == 1
    assert world.counts["train"] == 1
