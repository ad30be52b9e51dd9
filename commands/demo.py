"""The demonstration: from nothing to a served, watched model, on synthetic radiographs."""

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.console import Advance, err, progress
from thorax.errors import InputError

if TYPE_CHECKING:
    from thorax.settings import Settings

#: Requests sent to the service: enough for the drift report to give a verdict.
REQUESTS = 320


def run_demo(settings: "Settings", tables: bool = True) -> dict[str, Any]:
    """Make phantoms, train on them, serve the champion, send it radiographs, and report on drift.

    Args:
        settings: of the project.
        tables: whether to print what the steps gave.

    Returns:
        Figures and places, as JSON would have them.

    Raises:
        InputError: the data folder holds something other than phantoms.
    """
    from commands.pipeline import show, train

    began = time.time()
    with _chapter("1 · Synthetic radiographs"):
        _phantoms(settings)
    with _chapter("2 · Train, calibrate, evaluate, register"):
        run = train(settings, "demo")
        if tables:
            show(run)
    with _chapter("3 · Serve the champion and send it radiographs"):
        answers = _send(settings)
    with _chapter("4 · Watch for drift"):
        drift = _watch(settings, tables)
    seconds = round(time.time() - began, 1)
    return {**run.summary(), "answers": answers, "drift": drift, "seconds": seconds}


@contextmanager
def _chapter(title: str) -> Iterator[None]:
    err.print(f"\n[bold cyan]{title}[/]")
    began = time.time()
    yield
    err.print(f"[dim]{time.time() - began:.1f} s[/]")


def _phantoms(settings: "Settings") -> None:
    from thorax.datasets import versioning

    if settings.data.source != "phantom":
        raise InputError(
            f"The demonstration trains on phantoms, and data.source is {settings.data.source!r}.",
            "For your own data, run: thorax pipeline run",
        )
    wanted = settings.data.phantom
    with progress("Rendering", wanted.count) as advance:
        _render(settings, settings.data_root, wanted.count, wanted.seed, advance)
    state = versioning.track(settings.home, settings.data_root)
    err.print(f"{wanted.count:,} images, versioned by DVC as {state.revision[:8]}")


def _render(settings: "Settings", out: Path, count: int, seed: int, advance: Advance) -> None:
    from thorax.datasets.phantom.generate import make_phantom

    size = settings.data.phantom.size
    make_phantom(out, advance=advance, count=count, size=size, seed=seed, findings=settings.data.findings)


def _send(settings: "Settings") -> int:
    """Start the service, send it radiographs of the dataset, and end it."""
    import httpx

    from serving.launch import running

    # Of people whom the model has never seen: of those it learnt from it would be too sure.
    with tempfile.TemporaryDirectory() as place, progress("Rendering new phantoms", REQUESTS) as advance:
        folder = Path(place) / "strangers"
        _render(settings, folder, REQUESTS, settings.data.phantom.seed + 1, advance)
        images = [(path.name, path.read_bytes()) for path in sorted((folder / "images").glob("*.png"))]
    with running(settings) as address, httpx.Client(base_url=address, timeout=60) as client:

        def ask(image: tuple[str, bytes]) -> dict[str, Any]:
            answer = client.post("/predict", files={"file": (*image, "image/png")})
            answer.raise_for_status()
            return dict(answer.json())

        with progress("Predicting", len(images)) as advance, ThreadPoolExecutor(2) as pool:
            answers = []
            for answer in pool.map(ask, images):
                answers.append(answer)
                advance()
    err.print(f"The first answer: {answers[0]['summary']}", markup=False)
    return len(answers)


def _watch(settings: "Settings", tables: bool) -> dict[str, Any]:
    from commands.monitor import report_now

    return report_now(settings, tables)


def show_demo(settings: "Settings", facts: dict[str, Any]) -> None:
    """Print what was made, and the command that opens it."""
    from commands.console import table

    def near(path: str) -> str:
        place = Path(path)
        return str(place.relative_to(settings.home)) if place.is_relative_to(settings.home) else path

    rows = [
        ("Comparison of candidates", near(f"{facts['reports']}/comparison.html"), "a browser"),
        ("Report of the winner", near(f"{facts['reports']}/report.html"), "a browser"),
        ("Data validation", near(f"{facts['reports']}/validation.html"), "a browser"),
        ("Drift report", near(facts["drift"]["page"]), "a browser"),
        ("Model in the registry", f"{facts['name']} version {facts['version']}", "thorax models list"),
        ("Runs and curves", "MLflow", "make mlflow"),
        ("Service and page", "the champion", "make serve"),
    ]
    table(f"Done in {facts['seconds']:.0f} s", ("result", "location", "open with"), rows)
