"""How soon a worker is ready and what it holds, and how soon the page is up."""

import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

from commands.bench_figures import Figure, at_most
from commands.bench_watch import memory_mib, workers

if TYPE_CHECKING:
    from thorax.settings import Settings

PART = "Start"


def measure(settings: "Settings", bundle: Path, image: bytes, rounds: int) -> list[Figure]:
    """Start the service with its page a few times; return the medians."""
    ready, held, page = [], [], []
    for _ in range(rounds):
        one, two, three = _once(settings, bundle, image)
        ready.append(one)
        held.append(two)
        page.append(three)
    return [
        at_most(PART, "s, worker started → ready", statistics.median(ready), 3.0),
        at_most(PART, "MiB, worker after 50 answers", statistics.median(held), 400, ".0f"),
        at_most(PART, "s, page started → up", statistics.median(page), 10.0),
    ]


def _once(settings: "Settings", bundle: Path, image: bytes) -> tuple[float, float, float]:
    import httpx
    import psutil

    from serving.launch import launched

    with launched(settings, bundle, port=0, page=True, wait=False) as started:
        supervisor = started.processes["service"].pid
        ready = page = 0.0
        deadline = time.monotonic() + 120
        while not (ready and page):
            if time.monotonic() > deadline:
                started.check()
                raise TimeoutError(f"not up after two minutes; see {started.log}")
            if not ready and _answers(f"{started.address}/readyz"):
                ready = time.time() - min(worker.create_time() for worker in workers(supervisor))
            if not page and _answers(str(started.page)):
                page = time.time() - psutil.Process(started.processes["page"].pid).create_time()
            time.sleep(0.02)
        for _ in range(50):
            httpx.post(f"{started.address}/predict", files={"file": image}, timeout=60).raise_for_status()
        return ready, memory_mib(workers(supervisor)), page


def _answers(url: str) -> bool:
    import httpx

    try:
        return httpx.get(url, timeout=2, follow_redirects=True).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
