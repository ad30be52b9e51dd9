"""The loop, demonstrated: a scanner is replaced, the alarm rings, a new model is trained, and it is quiet again."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.console import err, out, progress, table

if TYPE_CHECKING:
    from serving.client import Client
    from thorax.registry.loop import Turn
    from thorax.settings import Settings

#: Radiographs that the first model learns from and is tested on, that each window holds, and that are confirmed.
BASE, WINDOW, CONFIRMED = 900, 260, 420
#: The phantom scanner that comes into use.
SCANNER = "film"
#: What the demonstration sets otherwise than params.yaml: a small network, and nothing that waits for a person.
OVERRIDES = (
    "data.source=phantom",
    "data.root=data",
    "data.findings=[Effusion, Cardiomegaly]",
    "preprocess.size=64",
    "train.architectures=[custom_cnn]",
    "train.overrides={}",
    "train.epochs=8",
    "registry.auto_promote=true",
    "registry.gates.min_mean_auroc=0.55",
    "registry.gates.min_auroc=0.5",
    "registry.gates.max_ece=0.35",
    "registry.gates.conformal_slack=0.5",
    "registry.gates.challenger_margin=0.1",
    "evaluation.bootstrap=200",
    "evaluation.max_gap=1.0",
    "monitor.confirmed_dir=put-aside",
    "monitor.false_alarm_rate=0.001",
    "monitor.retrain.cooldown_hours=0",
    "serve.poll_seconds=0.5",
)


@dataclass
class Story:
    """What happened, a row a chapter, for the table at the end."""

    rows: list[tuple[str, str, str]] = field(default_factory=list)

    @contextmanager
    def chapter(self, title: str) -> Iterator[list[str]]:
        """Tell one chapter; what it appends to the list that it is given is what the table says of it."""
        err.print(f"\n[bold cyan]{len(self.rows) + 1} · {title}[/]")
        began = time.time()
        said: list[str] = []
        yield said
        seconds = time.time() - began
        err.print(f"[dim]{seconds:.1f} s[/]")
        self.rows.append((title, "; ".join(said), f"{seconds:.0f}"))


def run_monitor_demo(folder: Path) -> dict[str, Any]:
    """Play the whole story in a project of its own.

    Args:
        folder: missing or empty; holds the project afterwards.

    Returns:
        The versions, the outcome and the rows of the table.
    """
    from serving.client import Client
    from serving.launch import ending_on_signals, running

    settings = make_project(folder)
    story = Story()
    with ending_on_signals():
        with story.chapter("A model is trained on the standard scanner") as said:
            from commands.pipeline import train

            render(settings.data_root, BASE, 3)
            _version(settings)
            first = train(settings, "demonstration").facts
            said.append(f"version {first['version']}, {', '.join(first['aliases'])}")
        with running(settings) as address, Client(address) as client:
            with story.chapter("It is served, and reads what it knows") as said:
                send(client, _scans(folder, "usual", WINDOW, 20), WINDOW)
                said.append(_shown(settings).look.headline)
            with story.chapter(f"The scanner is replaced by {SCANNER!r}") as said:
                fresh = _scans(folder, "new", CONFIRMED, 30, SCANNER)
                requests = send(client, fresh, CONFIRMED)
                confirm(client, fresh, requests, folder / "put-aside")
                said.append(f"{CONFIRMED} radiographs answered, confirmed by a reader and put aside")
            with story.chapter("The alarm rings, and starts a retraining on what was confirmed") as said:
                found = _shown(settings)
                said.append(found.look.headline)
                if found.round.retraining is None:
                    said.append(found.round.decision.why)
                else:
                    said.append(found.round.retraining.outcome)
            with story.chapter("The service takes up the new champion by itself") as said:
                version = _await(client, first["version"])
                said.append(f"version {version} answers")
            with story.chapter("The new scanner is no news to it") as said:
                send(client, _scans(folder, "later", WINDOW, 40, SCANNER), WINDOW)
                last = _shown(settings)
                said.append(last.look.headline)
    return {"folder": str(folder), "version": version, "status": last.look.status, "rows": story.rows}


def make_project(folder: Path) -> "Settings":
    """Make a project with Git and DVC, and a params.yaml that says what the demonstration sets otherwise."""
    import yaml

    from thorax.settings import find_home, load

    folder.mkdir(parents=True, exist_ok=True)
    wanted = load(find_home(), OVERRIDES).model_dump(mode="json")
    (folder / "params.yaml").write_text(yaml.safe_dump(wanted, sort_keys=False), encoding="utf-8")
    (folder / ".gitignore").write_text("/data\n/var\n/put-aside\n/scans\n", encoding="utf-8")
    (folder / "put-aside").mkdir(exist_ok=True)
    if not (folder / ".git").exists():
        subprocess.run(["git", "init", "--quiet", "--initial-branch", "main"], cwd=folder, check=True)
        subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], cwd=folder, check=True)
    return load(folder)


def render(place: Path, count: int, seed: int, scanner: str | None = None) -> Path:
    """Take radiographs of people whom nobody has seen before."""
    from thorax.datasets.phantom.generate import make_phantom
    from thorax.datasets.phantom.shift import Shift

    with progress("Rendering radiographs", count) as advance:
        make_phantom(
            place,
            advance=advance,
            count=count,
            size=64,
            seed=seed,
            findings="Effusion,Cardiomegaly",
            shift=Shift(scanner=scanner),
        )
    return place


def send(client: "Client", folder: Path, count: int) -> dict[str, str]:
    """Send every image of a dataset to the service; return file name → request id."""
    images = sorted((folder / "images").glob("*.png"))
    with progress("Predicting", count) as advance, ThreadPoolExecutor(2) as pool:

        def ask(path: Path) -> str:
            answer = client.predict(path)
            advance()
            return answer.request_id

        return dict(zip((path.name for path in images), pool.map(ask, images), strict=True))


def confirm(client: "Client", folder: Path, requests: dict[str, str], aside: Path) -> None:
    """Say what a radiologist sees on each image, and put the images aside, a folder a patient."""
    from thorax.datasets import nih

    rows = nih.read(folder).manifest.set_index("image_id")
    with progress("Confirming", len(requests)) as advance:
        for name, request in requests.items():
            row = rows.loc[name]
            client.feedback(request, {f: bool(row[f] == 1) for f in ("Effusion", "Cardiomegaly")}, "radiologist")
            place = aside / f"patient-{row['patient_id']}"
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / "images" / name, place / f"{request}.png")
            advance()


def show_monitor_demo(facts: dict[str, Any]) -> None:
    """Print the story as a table, and the commands that look closer."""
    table("Summary", ("phase", "result", "s"), facts["rows"], right=("s",))
    home = facts["folder"]
    rows = [
        ("What was retrained, and why", "thorax monitor retrainings"),
        ("Every window that was judged", "thorax monitor history"),
        ("Both models, side by side", "thorax models compare 2 1"),
        ("The confirmed cases as a data revision", "git log -p thorax/confirmed-cases -- data.dvc"),
        ("Runs, curves and reports", "thorax models ui"),
    ]
    table("Details", ("item", "command"), rows)
    out.print(f"The project lies in {home}: export THORAX_HOME={home} first; delete the folder when you are done.")


def _scans(folder: Path, name: str, count: int, seed: int, scanner: str | None = None) -> Path:
    return render(folder / "scans" / name, count, seed, scanner)


def _version(settings: "Settings") -> None:
    from thorax.datasets import pointers, versioning

    versioning.track(settings.home, settings.data_root)
    file = versioning.pointer(settings.data_root)
    assert file is not None
    pointers.commit(file, "Take the first radiographs", "in_place", "")


def _shown(settings: "Settings") -> "Turn":
    from commands.monitor.loop import one_round, tell

    found = one_round(settings, quick=True)
    tell(found)
    return found


def _await(client: "Client", before: str) -> str:
    """Wait until another version answers, a minute at most; return the one that does."""
    deadline = time.monotonic() + 60
    while (version := client.model().model.version) == before and time.monotonic() < deadline:
        time.sleep(0.2)
    return str(version)


def main() -> None:
    """Play it in a folder of its own, and say where that is."""
    facts = run_monitor_demo(Path(tempfile.mkdtemp(prefix="thorax-monitor-")))
    show_monitor_demo(facts)


if __name__ == "__main__":
    main()
