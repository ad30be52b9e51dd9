"""`make bench-serve`: the service beside the same graph in a bare loop, in one run.

    python -m commands.bench_serve --architecture densenet121 --size 224 --clients 32 --seconds 10 --json

- *ceiling*: decode, preprocess and network in a bare loop, on as many threads as the service uses, without answers;
- *service*: what clients get, with answers, boxes, out-of-distribution scores and a durable log;
- *one client*: median latency beside decode, preprocess and network called directly, one after another;
- *explain* beside *predict*; p99 at 70% load; a worker's time to ready and memory.

Ceiling and service take turns, so that what else the machine does falls on both.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.console import out, print_json, table

if TYPE_CHECKING:
    from thorax.bundle import Bundle

_LOAD_PROGRAM = """
import sys
from thorax.bundle import Bundle
import psutil, time
start = time.perf_counter()
Bundle.load(sys.argv[1])
print(time.perf_counter() - start, psutil.Process().memory_info().rss / 2**20)
"""


def bench(
    architecture: Annotated[str, typer.Option(help="The network.")] = "densenet121",
    size: Annotated[int, typer.Option(min=32, help="px a side that the network reads.")] = 224,
    pixels: Annotated[int, typer.Option(min=64, help="px a side of the files that are sent.")] = 1024,
    clients: Annotated[int, typer.Option(min=1, help="Clients that ask at once.")] = 32,
    seconds: Annotated[float, typer.Option(min=1, help="Of each measurement.")] = 8.0,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of ceiling and service.")] = 3,
    bundle: Annotated[Path | None, typer.Option(help="Measure this bundle; one is made otherwise.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")] = False,
) -> None:
    """Measure the service."""
    from commands.bench_bundle import bench_bundle
    from thorax.settings import load

    settings = load(overrides=["paths.var=var/bench-serve"])
    made, files = bench_bundle(load(), architecture, size, pixels, 120)
    result = measure(settings, bundle or made, files[:24], clients, seconds, rounds)
    if json:
        print_json(result)
    else:
        show(result)


def measure(
    settings: Any, bundle: Path, files: Sequence[Path], clients: int, seconds: float, rounds: int
) -> dict[str, Any]:
    """Return every figure by name; rates in images a second, times in milliseconds."""
    from commands.bench_load import request_bytes, run_load
    from serving.launch import launched
    from serving.runtime import Runtime
    from thorax.bundle import Bundle

    images = [file.read_bytes() for file in files]
    model = Bundle.load(bundle)
    threads = Runtime.of(settings).threads
    loaded = subprocess.run(
        [sys.executable, "-c", _LOAD_PROGRAM, str(bundle)], capture_output=True, text=True, check=True
    ).stdout.split()
    ceilings, rates, figures = [], [], {}
    began = time.perf_counter()
    with launched(settings, bundle, port=0) as started:
        ready = time.perf_counter() - began
        asks = [request_bytes(started.address, "/predict", image) for image in images]
        explains = [request_bytes(started.address, "/explain", image) for image in images]
        run_load(started.address, asks, 4, min(2.0, seconds))  # warm-up
        supervisor = started.processes["service"].pid
        before, answered = worker_seconds(supervisor), 0
        for _ in range(rounds):
            ceilings.append(bare_loop(model, images, threads, seconds / rounds))
            rates.append(run_load(started.address, asks, clients, seconds / rounds))
            answered += len(rates[-1].latencies)
        cpu = (worker_seconds(supervisor) - before) / max(1, answered)
        bare_cpu = processor_seconds(model, images)
        direct, single, explained = one_by_one(model, images, started.address, asks, explains, seconds)
        rate = statistics.median(load.per_second for load in rates)
        calm = run_load(started.address, asks, clients, seconds, rate=0.7 * rate)
        failed = [*calm.failed, *(status for load in rates for status in load.failed)]
        figures["worker_memory_mib"] = worker_memory(supervisor)
    ceiling = statistics.median(ceilings)
    return figures | {
        "threads": threads,
        "clients": clients,
        "ceiling_per_second": ceiling,
        "service_per_second": rate,
        "service_over_ceiling": statistics.median(a.per_second / b for a, b in zip(rates, ceilings, strict=True)),
        "cpu_ms": cpu * 1000,
        "bare_cpu_ms": bare_cpu * 1000,
        "bare_over_service_cpu": bare_cpu / cpu,
        "direct_ms": direct * 1000,
        "one_client_ms": single * 1000,
        "one_client_over_direct": single / direct,
        "explain_ms": explained * 1000,
        "explain_over_predict": explained / single,
        "p50_at_70_percent_ms": calm.quantile(0.5) * 1000,
        "p99_at_70_percent_ms": calm.quantile(0.99) * 1000,
        "p99_over_median": calm.quantile(0.99) / calm.quantile(0.5),
        "failed": len(failed),
        "bundle_load_seconds": float(loaded[0]),
        "bundle_process_mib": float(loaded[1]),
        "service_ready_seconds": ready,
    }


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
    from commands.bench_load import run_load

    direct: list[float] = []
    single: list[float] = []
    explained: list[float] = []
    until = time.perf_counter() + 2 * seconds
    while time.perf_counter() < until:
        direct += [timed(model, image) for image in images[:6]]
        single += run_load(address, asks, 1, 0.3).latencies
        explained += run_load(address, explains, 1, 0.3).latencies
    return statistics.median(direct), statistics.median(single), statistics.median(explained)


def timed(model: "Bundle", image: bytes) -> float:
    """Return the seconds that the work itself takes."""
    began = time.perf_counter()
    once(model, image)
    return time.perf_counter() - began


def processor_seconds(model: "Bundle", images: Sequence[bytes]) -> float:
    """Return the processor seconds of the work itself: what other programs take away does not count."""
    spent = []
    for image in images:
        began = time.thread_time()
        once(model, image)
        spent.append(time.thread_time() - began)
    return statistics.mean(spent)


def worker_seconds(supervisor: int) -> float:
    """Return the processor seconds that the service's processes have taken so far."""
    import psutil

    times = [child.cpu_times() for child in psutil.Process(supervisor).children(recursive=True)]
    return sum(one.user + one.system for one in times)


def worker_memory(supervisor: int) -> float:
    """Return the resident MiB of the largest worker."""
    import psutil

    children = psutil.Process(supervisor).children(recursive=True)
    return max((child.memory_info().rss / 2**20 for child in children), default=0.0)


def show(result: dict[str, Any]) -> None:
    """Print the figures beside what they should reach."""
    rows = [
        ("throughput over ceiling", f"{result['service_over_ceiling']:.2f}", "≥ 0.90"),
        ("the same by processor time", f"{result['bare_over_service_cpu']:.2f}", "≥ 0.90"),
        ("images/s, ceiling", f"{result['ceiling_per_second']:.1f}", ""),
        ("images/s, service", f"{result['service_per_second']:.1f}", ""),
        ("one client over direct call", f"{result['one_client_over_direct']:.2f}", "≤ 1.15"),
        ("ms, direct · one client", f"{result['direct_ms']:.1f} · {result['one_client_ms']:.1f}", ""),
        ("p99 over median at 70% load", f"{result['p99_over_median']:.2f}", "≤ 3"),
        ("explain over predict", f"{result['explain_over_predict']:.2f}", "≤ 1.15"),
        ("bundle loaded and proven, s", f"{result['bundle_load_seconds']:.2f}", "≤ 1.5"),
        ("worker's memory, MiB", f"{result['worker_memory_mib']:.0f}", "≤ 400"),
        ("service ready, s", f"{result['service_ready_seconds']:.1f}", ""),
        ("failed requests", str(result["failed"]), "0"),
    ]
    table(f"{result['clients']} clients, {result['threads']} threads", ("what", "found", "should be"), rows, ("found",))
    out.print("Ratios hold better than times on a machine that does other work too.")


if __name__ == "__main__":
    typer.run(bench)
