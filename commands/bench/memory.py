"""Minutes of mixed load, and whether the workers' memory stays flat."""

import itertools
import json
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from commands.bench.corpus import mutants, seeds, tricks
from commands.bench.figures import Figure, at_most, none_of, told
from commands.bench.watch import memory_mib, workers

if TYPE_CHECKING:
    from thorax.settings import Settings

PART = "Memory"
#: Share of the time in which caches and pools fill: it is left out of the slope.
_SETTLING = 0.25
_EVERY = 2.0


def measure(settings: "Settings", bundle: Path, files: Sequence[Path], minutes: float, clients: int) -> list[Figure]:
    """Ask for predictions, heatmaps and feedback, and send broken files between, for `minutes`."""
    from serving.launch import launched

    images = [file.read_bytes() for file in files]
    broken = [*itertools.islice(mutants(seeds(), 200), 200), *tricks().values()]
    samples: list[tuple[float, float]] = []
    statuses: list[int] = []
    with launched(settings, bundle, port=0) as started, ThreadPoolExecutor(clients) as pool:
        stop = threading.Event()
        jobs = [pool.submit(_client, started.address, images, broken, seed, stop, statuses) for seed in range(clients)]
        supervisor = started.processes["service"].pid
        began = time.monotonic()
        try:
            while (now := time.monotonic() - began) < minutes * 60:
                samples.append((now / 60, memory_mib(workers(supervisor))))
                time.sleep(_EVERY)
        finally:
            stop.set()
        for job in jobs:
            job.result()
    settled = [one for one in samples if one[0] >= _SETTLING * minutes] or samples
    rise = slope(settled)
    return [
        told(PART, f"minutes of mixed load, {clients} clients", minutes),
        told(PART, "requests", len(statuses), ".0f"),
        none_of(PART, "failures inside (5xx)", sum(status >= 500 for status in statuses)),
        told(PART, "MiB, when it had settled", settled[0][1], ".0f"),
        told(PART, "MiB, at the end", settled[-1][1], ".0f"),
        at_most(PART, "MiB a minute, slope once settled", rise, 1.0),
    ]


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """Return the least-squares slope of (minutes, MiB)."""
    import numpy as np

    if len(samples) < 2:
        return 0.0
    times, sizes = np.array(samples).T
    return float(np.polyfit(times, sizes, 1)[0])


def _client(
    address: str,
    images: Sequence[bytes],
    broken: Sequence[bytes],
    seed: int,
    stop: threading.Event,
    statuses: list[int],
) -> None:
    import httpx

    rng = random.Random(seed)
    with httpx.Client(base_url=address, timeout=120) as client:
        while not stop.is_set():
            kind = rng.random()
            if kind < 0.2:
                answer = client.post("/predict", files={"file": rng.choice(broken)})
            elif kind < 0.4:
                answer = client.post("/explain", files={"file": rng.choice(images)})
            else:
                answer = client.post("/predict", files={"file": rng.choice(images)})
                if answer.is_success and kind > 0.8:
                    told_ = json.loads(answer.content)
                    findings = {told_["findings"][0]["finding"]: True}
                    body = {"request_id": told_["request_id"], "findings": findings}
                    statuses.append(client.post("/feedback", json=body).status_code)
            statuses.append(answer.status_code)
