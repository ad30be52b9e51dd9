"""How fast the service is beside the same graph in a bare loop: throughput, one client, tails, heatmaps.

- *ceiling*: decode, preprocess and network in a bare loop, a thread a core, without answers;
- *service*: what clients get, with answers, boxes, out-of-distribution scores and a durable log;
- *one client*: median latency beside decode, preprocess and network called directly, one after another.

What is compared takes turns, so that what else the machine does falls on all alike.
"""

import os
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from commands.bench.figures import Figure, at_least, at_most, none_of, told
from commands.bench.load import request_bytes, run_load
from commands.bench.watch import memory_mib, workers
from commands.bench.watch import processor_seconds as spent_by

if TYPE_CHECKING:
    from thorax.bundle import Bundle
    from thorax.settings import Settings

PART = "Speed"


def measure(
    settings: "Settings", bundle: Path, files: Sequence[Path], clients: int, seconds: float, rounds: int
) -> list[Figure]:
    """Return the figures of throughput, latency and heatmaps."""
    from serving.launch import launched
    from thorax.bundle import Bundle

    images = [file.read_bytes() for file in files]
    model = Bundle.load(bundle)
    cores = os.cpu_count() or 1
    ceilings, rates = [], []
    with launched(settings, bundle, port=0) as started:
        asks = [request_bytes(started.address, "/predict", image) for image in images]
        explains = [request_bytes(started.address, "/explain", image) for image in images]
        run_load(started.address, asks, 4, min(2.0, seconds))  # warm-up
        supervisor = started.processes["service"].pid
        spent, answered = 0.0, 0
        for _ in range(rounds):
            ceilings.append(bare_loop(model, images, cores, seconds / rounds))
            before = spent_by(supervisor)
            rates.append(run_load(started.address, asks, clients, seconds / rounds))
            spent += spent_by(supervisor) - before
            answered += len(rates[-1].latencies)
        bare = processor_seconds(model, images)
        direct, single, explained = one_by_one(model, images, started.address, asks, explains, seconds)
        rate = statistics.median(load.per_second for load in rates)
        calm = run_load(started.address, asks, clients, seconds, rate=0.7 * rate)
        held = memory_mib(workers(supervisor))
    cpu = spent / max(1, answered)
    failed = [*calm.failed, *(status for load in rates for status in load.failed)]
    ratio = statistics.median(a.per_second / b for a, b in zip(rates, ceilings, strict=True))
    return [
        told(PART, f"images/s, ceiling ({cores} threads)", statistics.median(ceilings)),
        told(PART, f"images/s, service, {clients} clients", rate),
        at_least(PART, "service over ceiling", ratio, 0.90),
        at_least(PART, "the same by processor time", bare / cpu, 0.90),
        told(PART, "processor ms an image, bare loop", bare * 1000),
        told(PART, "processor ms an image, service", cpu * 1000),
        told(PART, "ms, decode + preprocess + network called directly", direct * 1000),
        told(PART, "ms, one client, median", single * 1000),
        at_most(PART, "one client over direct call", single / direct, 1.15),
        told(PART, "ms, median at 70% load", calm.quantile(0.5) * 1000),
        told(PART, "ms, p99 at 70% load", calm.quantile(0.99) * 1000),
        at_most(PART, "p99 over median at 70% load", calm.quantile(0.99) / calm.quantile(0.5), 3.0),
        told(PART, "ms, /explain for all findings, median", explained * 1000),
        at_most(PART, "/explain over /predict", explained / single, 1.15),
        at_most(PART, "a worker's memory after all this, MiB", held, 400, ".0f"),
        none_of(PART, "failed requests", len(failed)),
    ]


def once(model: "Bundle", image: bytes) -> None:
    """Decode, preprocess and run the network: the work that no service can leave out."""
    from thorax.imaging import read_image_bytes

    model.run(model.inputs([read_image_bytes(image)]))


def bare_loop(model: "Bundle", images: Sequence[bytes], threads: int, seconds: float) -> float:
    """Return images a second of `threads` threads that do nothing else."""
    until = time.perf_counter() + seconds

    def work(offset: int) -> int:
        done = 0
        while time.perf_counter() < until:
            once(model, images[(offset + done) % len(images)])
            done += 1
        return done

    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(work, range(threads)))
    return done / (time.perf_counter() - began)


def one_by_one(
    model: "Bundle",
    images: Sequence[bytes],
    address: str,
    asks: Sequence[bytes],
    explains: Sequence[bytes],
    seconds: float,
) -> tuple[float, float, float]:
    """Return the median seconds of the work itself, of /predict and of /explain, of one client, in turns."""
    direct: list[float] = []
    single: list[float] = []
    explained: list[float] = []
    until = time.perf_counter() + 2 * seconds
    while time.perf_counter() < until:
        direct += [timed(model, image) for image in images[:6]]
        single += run_load(address, asks, 1, 0.5).latencies
        explained += run_load(address, explains, 1, 0.5).latencies
    return statistics.median(direct), statistics.median(single), statistics.median(explained)


def timed(model: "Bundle", image: bytes) -> float:
    """Return the seconds that the work itself takes."""
    began = time.perf_counter()
    once(model, image)
    return time.perf_counter() - began


def processor_seconds(model: "Bundle", images: Sequence[bytes]) -> float:
    """Return the processor seconds of the work itself: what other programs take away does not count.

    Those of the whole process, which does nothing else meanwhile: OpenVINO works in threads of its own.
    """
    spent = []
    for image in images:
        began = time.process_time()
        once(model, image)
        spent.append(time.process_time() - began)
    return statistics.mean(spent)
