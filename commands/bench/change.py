"""A new model, a killed worker and a killed service, all under load: what fails, what is wrong, what is lost."""

import itertools
import json
import random
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.bench.figures import Figure, at_least, at_most, none_of, told
from commands.bench.load import Load, Plan, request_bytes, run_load, run_plan
from commands.bench.watch import kill, kill_all, workers

if TYPE_CHECKING:
    from serving.launch import Running
    from thorax.settings import Settings

SWAP, KILL = "Swap under load", "Durability"
_PATIENCE = 60.0
_FOREVER = 3600.0


def variant(bundle: Path, out: Path) -> Path:
    """Copy a bundle with other calibrated probabilities, so that two versions' answers can be told apart."""
    from thorax.files import digest_file, read_json, write_json

    shutil.copytree(bundle, out)
    calibration = read_json(out / "calibration.json")
    for one in calibration["by_finding"].values():
        one["intercept"] += 0.7
    write_json(out / "calibration.json", calibration)
    info = read_json(out / "bundle.json")
    info["digests"]["calibration.json"] = digest_file(out / "calibration.json")
    write_json(out / "bundle.json", info)
    return out


def measure_swaps(
    settings: "Settings", bundle: Path, files: Sequence[Path], clients: int, seconds: float, swaps: int
) -> list[Figure]:
    """Exchange the model `swaps` times while `clients` ask; compare every answer with what its version says."""
    from serving.launch import launched
    from serving.pointer import Pointer, write_pointer
    from serving.runtime import Runtime
    from thorax.bundle import Bundle
    from thorax.imaging import read_image

    settings = settings.model_copy(update={"serve": settings.serve.model_copy(update={"poll_seconds": 0.25})})
    images = [file.read_bytes() for file in files]
    with tempfile.TemporaryDirectory(prefix="thorax-bench-") as folder:
        places = {"a": bundle.absolute(), "b": variant(bundle, Path(folder) / "b")}
        expected = {
            name: _answers(Bundle.load(place), [read_image(f) for f in files]) for name, place in places.items()
        }
        pointer = Runtime.of(settings).pointer
        pointer.parent.mkdir(parents=True, exist_ok=True)
        with launched(settings, bundle, port=0) as started:
            asks = [request_bytes(started.address, "/predict", image) for image in images]
            write_pointer(pointer, Pointer(bundle=places["a"], version="a"))
            _wait_for(started, "a")
            run_load(started.address, asks, clients, min(3.0, seconds))  # warm-up
            calm = run_load(started.address, asks, clients, seconds)
            seen: list[tuple[int, str, bool]] = []
            stop = threading.Event()

            def keep(who: int, number: int, body: bytes) -> None:
                told_ = json.loads(body)
                version = told_["model"]["version"]
                found = {one["finding"]: one["probability"] for one in told_["findings"]}
                right = all(abs(found[name] - value) < 1e-4 for name, value in expected[version][number].items())
                seen.append((who, version, right))

            with ThreadPoolExecutor(1) as pool:
                plan = Plan(clients, _FOREVER, stop=stop.is_set)
                job = pool.submit(run_plan, started.address, asks, plan, keep)
                waits = []
                try:
                    for turn in range(swaps):
                        version = "ba"[turn % 2]
                        began = time.perf_counter()
                        write_pointer(pointer, Pointer(bundle=places[version], version=version))
                        _wait_for(started, version)
                        waits.append(time.perf_counter() - began)
                        time.sleep(max(0.5, seconds / 4))
                finally:
                    stop.set()
                busy: Load = job.result()
    changes = sum(_changes([version for who, version, _ in seen if who == one]) for one in range(clients))
    return [
        told(SWAP, "swaps", swaps, ".0f"),
        told(SWAP, f"answers meanwhile, {clients} clients", len(seen), ".0f"),
        none_of(SWAP, "failed requests", len(busy.failed) + len(calm.failed)),
        none_of(SWAP, "answers that are not their version's", sum(not right for _, _, right in seen)),
        none_of(SWAP, "times a client saw the old version again", max(0, changes - swaps * clients)),
        told(SWAP, "s, pointer written → served, median", statistics.median(waits)),
        told(SWAP, "ms, p99 without swaps", calm.quantile(0.99) * 1000),
        told(SWAP, "ms, p99 with swaps", busy.quantile(0.99) * 1000),
        at_most(SWAP, "p99 with swaps over without", busy.quantile(0.99) / calm.quantile(0.99), 2.0),
    ]


def _answers(model: Any, radiographs: Sequence[Any]) -> list[dict[str, float]]:
    return [{one.finding: one.probability for one in found.findings} for found in map(_single(model), radiographs)]


def _single(model: Any) -> Any:
    return lambda radiograph: model.predict([radiograph])[0]


def _changes(versions: Sequence[str]) -> int:
    """Count how often a client's next answer was of another version."""
    return sum(one != other for one, other in itertools.pairwise(versions))


def _wait_for(started: "Running", version: str) -> None:
    import httpx

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = httpx.get(f"{started.address}/model", timeout=30)
        if answer.status_code == httpx.codes.OK and answer.json()["model"]["version"] == version:
            return
        time.sleep(0.05)
    raise started.failure(f"Version {version} is not served after a minute.")


def measure_kills(settings: "Settings", bundle: Path, image: bytes, clients: int, kills: int) -> list[Figure]:
    """Kill workers and the whole service at random moments under load; look for every acknowledged answer in the log.

    A client sends a request again when its connection breaks, as any client does. Two workers run; every third kill
    ends the whole service.
    """
    from serving.launch import launched
    from thorax.prediction_log import place_of, read_log

    settings = settings.model_copy(update={"serve": settings.serve.model_copy(update={"workers": 2})})
    rng = random.Random(7)
    acknowledged: list[str] = []
    replaced: list[float] = []
    loads: list[Load] = []
    port, done, whole = _free_port(), 0, 0
    stop = threading.Event()

    def keep(_: int, __: int, body: bytes) -> None:
        acknowledged.append(json.loads(body)["request_id"])

    def ask(address: str) -> None:
        requests = [request_bytes(address, "/predict", image)]
        loads.append(run_plan(address, requests, Plan(clients, _FOREVER, None, _PATIENCE, stop.is_set), keep))

    with ThreadPoolExecutor(1) as pool:
        job = None
        try:
            while done < kills:
                with launched(settings, bundle, port=port) as started:
                    job = job or pool.submit(ask, started.address)
                    supervisor = started.processes["service"].pid
                    for _ in range(min(2, kills - done - 1)):
                        time.sleep(rng.uniform(0.1, 1.0))
                        began = time.monotonic()
                        kill([rng.choice(workers(supervisor))])
                        _wait_for_two(supervisor, started)
                        replaced.append(time.monotonic() - began)
                        done += 1
                    time.sleep(rng.uniform(0.1, 1.0))
                    kill_all(supervisor)
                    done, whole = done + 1, whole + 1
                _wait_for_port(port)
            with launched(settings, bundle, port=port):
                time.sleep(1.0)
                stop.set()
                if job is not None:
                    job.result()  # what is on its way is answered before the service ends
        finally:
            stop.set()
    kept = read_log(place_of(settings))["request_id"].tolist()
    load = loads[0]
    return [
        told(KILL, "kills of a worker, of two", done - whole, ".0f"),
        told(KILL, "kills of the whole service", whole, ".0f"),
        at_least(KILL, "acknowledged predictions", len(acknowledged), 1, ".0f"),
        none_of(KILL, "acknowledged, but not in the log", len(set(acknowledged) - set(kept))),
        none_of(KILL, "in the log twice", len(kept) - len(set(kept))),
        none_of(KILL, "failed requests", len(load.failed)),
        told(KILL, "requests sent again, as their connection broke", load.repeated, ".0f"),
        told(KILL, "s, worker killed → replaced, median", statistics.median(replaced) if replaced else 0.0),
    ]


def _wait_for_two(supervisor: int, started: "Running") -> None:
    """Wait until two workers run and the service is ready."""
    import httpx

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            up = httpx.get(f"{started.address}/readyz", timeout=5).status_code == httpx.codes.OK
        except httpx.HTTPError:
            up = False
        if up and len(workers(supervisor)) >= 2:
            return
        time.sleep(0.05)
    raise started.failure("The worker was not replaced within a minute.")


def _wait_for_port(port: int) -> None:
    """Wait until nothing listens: a worker that was being started as its service was killed ends by itself."""
    import socket

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                time.sleep(0.1)
                continue
            return
    raise TimeoutError(f"port {port} is still in use half a minute after everything was killed")


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
