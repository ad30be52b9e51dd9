"""The service beside what others would build: FastAPI with eager PyTorch, and `mlflow models serve` of the same bundle.

    python -m commands.bench.peers BUNDLE PORT THREADS LIMIT      the FastAPI service itself, as a process of its own

The peers read and prepare images as Thorax does, answer with probabilities alone, and keep no log. Each is tuned: the
better of its ways to use two cores counts.
"""

import base64
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.bench.figures import Figure, at_least, told
from commands.bench.load import raw_request, request_bytes, run_load

if TYPE_CHECKING:
    from thorax.settings import Settings

PART = "Peers"
_UP_SECONDS = 240.0


def measure(
    settings: "Settings", bundle: Path, files: Sequence[Path], clients: int, seconds: float, rounds: int
) -> list[Figure]:
    """Ask Thorax and its peers in turns, all of them up and only one of them busy."""
    from serving.launch import launched

    images = [file.read_bytes() for file in files]
    cores = os.cpu_count() or 1
    with contextlib.ExitStack() as stack:
        started = stack.enter_context(launched(settings, bundle, port=0))
        asks = {"Thorax": (started.address, [request_bytes(started.address, "/predict", one) for one in images])}
        for threads, limit in ((1, cores), (cores, 1)):
            address = stack.enter_context(fastapi(bundle, threads, limit))
            name = f"FastAPI, eager PyTorch, {limit} × {threads} threads"
            asks[name] = (address, [request_bytes(address, "/predict", one) for one in images])
        address = stack.enter_context(mlflow(bundle, cores))
        asks[f"mlflow models serve, {cores} workers"] = (address, [_invocation(address, one) for one in images])
        rates: dict[str, list[float]] = {name: [] for name in asks}
        for address, requests in asks.values():
            run_load(address, requests, 4, min(3.0, seconds))  # warm-up
        for _ in range(rounds):
            for name, (address, requests) in asks.items():
                load = run_load(address, requests, clients, seconds / rounds)
                rates[name].append(load.per_second)
    medians = {name: statistics.median(found) for name, found in rates.items()}
    ours = medians.pop("Thorax")
    eager = max(rate for name, rate in medians.items() if name.startswith("FastAPI"))
    theirs = max(rate for name, rate in medians.items() if name.startswith("mlflow"))
    return [
        told(PART, f"images/s, Thorax, {clients} clients", ours),
        *(told(PART, f"images/s, {name}", rate) for name, rate in medians.items()),
        at_least(PART, "Thorax over FastAPI with eager PyTorch", ours / eager, 1.7),
        at_least(PART, "Thorax over mlflow models serve", ours / theirs, 1.0),
        *_explanations(bundle),
    ]


def _invocation(address: str, image: bytes) -> bytes:
    text = base64.b64encode(image).decode()
    body = json.dumps({"dataframe_split": {"columns": ["image"], "data": [[text]]}}).encode()
    return raw_request(address, "/invocations", body, "application/json")


@contextlib.contextmanager
def fastapi(bundle: Path, threads: int, limit: int) -> Iterator[str]:
    """Run the FastAPI service; `limit` requests are scored at once, each on `threads` threads."""
    port = _free_port()
    command = [sys.executable, "-m", "commands.bench.peers", str(bundle), str(port), str(threads), str(limit)]
    with _process(command, {"OMP_NUM_THREADS": str(threads)}, f"http://127.0.0.1:{port}/livez") as address:
        yield address.removesuffix("/livez")


@contextlib.contextmanager
def mlflow(bundle: Path, workers: int) -> Iterator[str]:
    """Run MLflow's own server of the same bundle."""
    import yaml

    with tempfile.TemporaryDirectory(prefix="thorax-bench-") as folder:
        shutil.copytree(bundle, Path(folder, "data"))  # MLflow follows no link out of a model's folder
        flavor = {"loader_module": "thorax.registry.pyfunc", "data": "data", "python_version": "3.11"}
        Path(folder, "MLmodel").write_text(yaml.safe_dump({"flavors": {"python_function": flavor}}), encoding="utf-8")
        port = _free_port()
        command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", folder, "--env-manager", "local"]
        command += ["--port", str(port), "--workers", str(workers), "--host", "127.0.0.1"]
        with _process(command, {"OMP_NUM_THREADS": "1"}, f"http://127.0.0.1:{port}/ping") as address:
            yield address.removesuffix("/ping")


@contextlib.contextmanager
def _process(command: list[str], extra: dict[str, str], address: str) -> Iterator[str]:
    """Run a server until the block ends; wait until it answers."""
    import httpx
    import psutil

    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # MLflow calls uvicorn
    known = {"PATH": path, "PYTHONPATH": str(Path.cwd()), "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment = os.environ | known | extra
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
        try:
            deadline = time.monotonic() + _UP_SECONDS
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if httpx.get(address, timeout=2).status_code == httpx.codes.OK:
                        break
                if process.poll() is not None or time.monotonic() > deadline:
                    said.seek(0)
                    raise RuntimeError(f"{' '.join(command)} did not start: {said.read()[-2000:].decode()}")
                time.sleep(0.2)
            yield address
        finally:
            with contextlib.suppress(psutil.Error):
                everyone = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
                for one in everyone:
                    one.terminate()
                for one in psutil.wait_procs(everyone, timeout=10)[1]:
                    one.kill()
            process.wait()


def _explanations(bundle: Path, rounds: int = 5) -> list[Figure]:
    """Time the maps of all findings as the bundle gives them, drawn, beside the grad-cam library's."""
    import numpy as np
    import torch

    from thorax.bundle import Bundle
    from thorax.bundle.drawing import draw
    from thorax.explain.gradients import gradient_map
    from thorax.imaging import Radiograph
    from thorax.models import build

    model = Bundle.load(bundle)
    network = build(model.info.architecture, len(model.findings), pretrained=str(bundle), names=model.findings).eval()
    torch.set_num_threads(1)
    pixels = np.random.default_rng(0).random((model.info.size, model.info.size)).astype(np.float32)
    radiograph = Radiograph(pixels=pixels, width=pixels.shape[1], height=pixels.shape[0], bits=8, kind="PNG")
    times: dict[str, list[float]] = {"predict": [], "explain": [], "grad-cam": []}
    for _ in range(rounds + 1):
        began = time.perf_counter()
        prediction = model.predict([radiograph])[0]
        answered = time.perf_counter()
        draw(model, radiograph, prediction, side=256)
        drawn = time.perf_counter()
        for finding in range(len(model.findings)):
            gradient_map(network, pixels, finding)
        times["predict"].append(answered - began)
        times["explain"].append(drawn - answered)
        times["grad-cam"].append(time.perf_counter() - drawn)
    medians = {name: statistics.median(found[1:]) * 1000 for name, found in times.items()}
    return [
        told(PART, f"ms, heatmaps of {len(model.findings)} findings drawn, beyond the answer", medians["explain"]),
        told(PART, "ms, the same maps by pytorch-grad-cam, not drawn", medians["grad-cam"]),
    ]


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def application(bundle: Path, threads: int, limit: int) -> Any:
    """Return the FastAPI application: sync endpoints on `limit` threads, the usual way to serve PyTorch."""
    from contextlib import asynccontextmanager

    import anyio.to_thread
    import torch
    from fastapi import FastAPI, UploadFile

    from thorax.bundle.loading import Preprocessing
    from thorax.files import read_json
    from thorax.imaging import read_image_bytes, to_network_input
    from thorax.models import build

    info = read_json(bundle / "bundle.json")
    how = Preprocessing.model_validate(info["preprocessing"])
    torch.set_num_threads(threads)
    network = build(info["architecture"], len(info["findings"]), pretrained=str(bundle), names=info["findings"])
    network = network.eval().to(memory_format=torch.channels_last)

    @asynccontextmanager
    async def limited(_: FastAPI) -> Any:
        anyio.to_thread.current_default_thread_limiter().total_tokens = limit
        yield

    app = FastAPI(lifespan=limited)

    @app.get("/livez")
    async def livez() -> dict[str, bool]:
        return {"lives": True}

    @app.post("/predict")
    def predict(file: UploadFile) -> dict[str, float]:
        pixels = to_network_input(read_image_bytes(file.file.read()).pixels, how.size, how.resize, how.clahe)
        batch = torch.from_numpy(pixels[None, None]).to(torch.float32) / 255
        with torch.inference_mode():
            logits = network(batch.contiguous(memory_format=torch.channels_last)).logits[0]
        return dict(zip(info["findings"], torch.sigmoid(logits).tolist(), strict=True))

    return app


if __name__ == "__main__":
    import uvicorn

    place, on, each, at_once = sys.argv[1:5]
    uvicorn.run(application(Path(place), int(each), int(at_once)), port=int(on), log_level="warning")
