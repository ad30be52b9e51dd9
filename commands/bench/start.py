"""How soon a worker is ready and what it holds, and how soon the page is up."""

import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

from commands.bench.figures import Figure, at_most, told
from commands.bench.watch import memory_mib, workers

if TYPE_CHECKING:
    from thorax.settings import Settings

PART = "Start"


def measure(settings: "Settings", bundle: Path, image: bytes, rounds: int) -> list[Figure]:
    """Start the service with its page a few times; return the medians."""
    started = [_worker(settings, bundle, image) for _ in range(rounds)]
    ready, spent, held = zip(*started, strict=True)
    page = [_page(settings, bundle) for _ in range(rounds)]
    return [
        at_most(PART, "s, worker started → ready", statistics.median(ready), 3.0),
        told(PART, "s of the processor that this took", statistics.median(spent), ".2f"),
        at_most(PART, "MiB, worker after 50 answers", statistics.median(held), 400, ".0f"),
        at_most(PART, "s, page started → up", statistics.median(page), 10.0),
    ]


def _worker(settings: "Settings", bundle: Path, image: bytes) -> tuple[float, float, float]:
    """Return seconds until a worker is ready, of the clock and of the processor, and its MiB after some answers."""
    import httpx

    from serving.launch import launched

    with launched(settings, bundle, port=0, wait=False) as started:
        supervisor = started.processes["service"].pid
        _wait(f"{started.address}/readyz")
        worker = workers(supervisor)[0]
        ready, times = time.time() - worker.create_time(), worker.cpu_times()
        for _ in range(50):
            httpx.post(f"{started.address}/predict", files={"file": image}, timeout=60).raise_for_status()
        return ready, times.user + times.system, memory_mib([worker])


def _page(settings: "Settings", bundle: Path) -> float:
    """Return seconds until the page is up, started beside the service."""
    import psutil

    from serving.launch import launched

    with launched(settings, bundle, port=0, page=True, wait=False) as started:
        _wait(str(started.page))
        return time.time() - psutil.Process(started.processes["page"].pid).create_time()


def _wait(url: str) -> None:
    deadline = time.monotonic() + 120
    while not _answers(url):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{url} does not answer after two minutes")
        time.sleep(0.02)


def _answers(url: str) -> bool:
    import httpx

    try:
        return httpx.get(url, timeout=2, follow_redirects=True).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
