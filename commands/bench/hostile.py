"""Whatever is sent, the service answers or refuses with a reason; it never fails inside, and it stays up.

Thousands of mutants of every format, tricks by name, bodies that are huge, cut off or drip, and schemathesis over the
service's own description of itself.
"""

import collections
import itertools
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from commands.bench.corpus import mutants, seeds, tricks, zipped
from commands.bench.figures import Figure, at_most, none_of, told
from commands.bench.watch import Peak, memory_mib, workers

if TYPE_CHECKING:
    import httpx

    from thorax.settings import Settings

PART = "Robustness"
_SHORTEST_REASON = 10
_LEAKS = re.compile(r"Traceback|site-packages|/serving/|File \\?\"")


@dataclass
class Verdict:
    """What came of many requests: how often each status, and those that were not as they should be."""

    statuses: collections.Counter[int] = field(default_factory=collections.Counter)
    failed: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)

    def judge(self, name: str, answer: "httpx.Response") -> None:
        """Add an answer."""
        self.statuses[answer.status_code] += 1
        if answer.is_success:
            self.accepted.append(name)
        if answer.status_code >= 500:
            self.failed.append(f"{name}: {answer.status_code} {answer.text[:200]}")
        elif answer.status_code >= 400 and not explained(answer):
            self.unexplained.append(f"{name}: {answer.status_code} {answer.text[:200]}")


def explained(answer: "httpx.Response") -> bool:
    """Say whether a refusal gives a reason that a person understands, and nothing of the inside."""
    try:
        said = str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return False
    return len(said) >= _SHORTEST_REASON and not _LEAKS.search(answer.text)


def measure(
    settings: "Settings", bundle: Path, phantom: bytes, count: int, real: Path | None, examples: int
) -> list[Figure]:
    """Send `count` hostile uploads and run schemathesis with `examples` a route."""
    from serving.launch import launched

    serve = settings.serve.model_copy(update={"workers": 2, "upload_seconds": 3.0})
    settings = settings.model_copy(update={"serve": serve})
    known = seeds(real)
    with launched(settings, bundle, port=0) as started:
        supervisor = started.processes["service"].pid
        before = {worker.pid for worker in workers(supervisor)}
        with Peak(lambda: memory_mib(workers(supervisor)), every=0.5) as peak:
            files = ((f"mutant {number}", data) for number, data in enumerate(mutants([*known, phantom], count)))
            verdict = upload(started.address, itertools.chain(files, tricks().items()))
            odd(started.address, phantom, verdict, settings.serve.max_upload_mib << 20)
            found, said = schemathesis(started.address, examples)
        after = {worker.pid for worker in workers(supervisor)}
        good = upload(started.address, [("good", phantom)]).statuses[200] == 1
    for one in (*verdict.failed[:5], *verdict.unexplained[:5], *([said] if found else [])):
        sys.stderr.write(f"{one}\n")
    refused = sum(number for status, number in verdict.statuses.items() if 400 <= status < 500)
    return [
        told(PART, f"hostile uploads, mutants of {len(known) + 1} files", sum(verdict.statuses.values()), ".0f"),
        told(PART, "of them refused (4xx)", refused, ".0f"),
        told(PART, "of them readable after all (200)", verdict.statuses[200], ".0f"),
        none_of(PART, "failures inside (5xx)", len(verdict.failed)),
        none_of(PART, "refusals without a reason", len(verdict.unexplained)),
        none_of(PART, f"failures found by schemathesis, {examples} examples a route", found),
        none_of(PART, "workers lost", len(before - after)),
        none_of(PART, "whole images that fail afterwards", int(not good)),
        at_most(PART, "MiB, the largest worker meanwhile", peak.value, 1500, ".0f"),
    ]


def upload(address: str, files: Iterable[tuple[str, bytes]], at_once: int = 4) -> Verdict:
    """Send files to /predict, a few at once, and judge every answer."""
    import httpx

    verdict, lock, turns = Verdict(), threading.Lock(), iter(files)

    def work(_: int) -> None:
        with httpx.Client(base_url=address, timeout=60) as client:
            while True:
                with lock:
                    item = next(turns, None)
                if item is None:
                    return
                answer = client.post("/predict", files={"file": ("../../x.png", item[1])})
                with lock:
                    verdict.judge(item[0], answer)

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(work, range(at_once)))
    return verdict


def odd(address: str, image: bytes, verdict: Verdict, limit: int) -> None:
    """Send what is odd about the request itself: its size, its kind, its pace, its headers."""
    import httpx

    with httpx.Client(base_url=address, timeout=60) as client:
        posts: dict[str, dict[str, object]] = {
            "as text": {"data": {"file": "http://127.0.0.1/a.png"}},
            "as json": {"json": {"file": "x"}},
            "a pickle": {"content": b"\x80\x04.", "headers": {"content-type": "application/vnd.bentoml+pickle"}},
            "no boundary": {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
            "two files": {"files": [("file", image), ("file", image)]},
            "a name": {"files": {"file": image}, "data": {"patient": "Jane Doe"}},
            "an age of words": {"files": {"file": image}, "data": {"age": "old"}},
            "many fields": {"files": {"file": image}, "data": {f"x{i}": "1" for i in range(200)}},
            "a long field": {"files": {"file": image}, "data": {"age": "1" * 100_000}},
        }
        for name, kwargs in posts.items():
            verdict.judge(name, client.post("/predict", **kwargs))  # type: ignore[arg-type]
        for route in ("/predict_batch", "/nothing", "/feedback", "/model"):
            files = {"file": ("a.zip", zipped("../../etc/cron.d/x", image))}
            verdict.judge(f"a zip that climbs to {route}", client.post(route, files=files))
        verdict.judge("a method", client.request("DELETE", "/predict"))
    for name, head in {
        "100 MB": f"Content-Length: {100 << 20}",
        "a length of words": "Content-Length: many",
        "a huge header": f"X-A: {'a' * 100_000}\r\nContent-Length: 0",
        "many headers": "\r\n".join(f"X-{i}: a" for i in range(2000)) + "\r\nContent-Length: 0",
        "cut off": "Content-Length: 5000",
        "dripping": "Content-Length: 5000",
    }.items():
        status = _raw(address, head, drip=name == "dripping")
        verdict.statuses[status] += 1
        if status >= 500:
            verdict.failed.append(f"{name}: {status}")
    with socket.create_connection((urlsplit(address).hostname, urlsplit(address).port or 80), timeout=60) as line:
        line.sendall(_head(address, "Transfer-Encoding: chunked"))
        status = _send_until_refused(line, limit + (8 << 20))
        verdict.statuses[status] += 1
        if status >= 500:
            verdict.failed.append(f"chunks without an end: {status}")


def _head(address: str, more: str) -> bytes:
    lines = f"POST /predict HTTP/1.1\r\nHost: {urlsplit(address).netloc}\r\n"
    return f"{lines}Content-Type: multipart/form-data; boundary=b\r\n{more}\r\n\r\n".encode()


def _raw(address: str, head: str, drip: bool) -> int:
    """Send a request whose body is cut off or drips; return the status, 0 where the connection just ended."""
    where = urlsplit(address)
    with socket.create_connection((where.hostname, where.port or 80), timeout=30) as line:
        try:
            line.sendall(_head(address, head))
            if drip:
                for _ in range(40):
                    line.sendall(b"a")
                    time.sleep(0.1)
            elif "5000" in head:
                line.sendall(b"abc")
                line.shutdown(socket.SHUT_WR)
            return _status(line)
        except OSError:
            return 0


def _send_until_refused(line: socket.socket, most: int) -> int:
    chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    try:
        for _ in range(most // 0x10000):
            line.sendall(chunk)
    except OSError:
        return 413  # the service had enough and closed the line
    return _status(line)


def _status(line: socket.socket) -> int:
    found = re.match(rb"HTTP/1\.[01] (\d{3})", line.recv(4096))
    return int(found.group(1)) if found else 0


def schemathesis(address: str, examples: int, seed: int = 3) -> tuple[int, str]:
    """Let schemathesis try every route that the service describes; return how many failures, and what it said."""
    # Only what no service may do: answers inside the description's words are judged by the tests of each route.
    command = [
        str(Path(sys.executable).with_name("st")),
        "run",
        f"{address}/docs.json",
        "--checks",
        "not_a_server_error",
    ]
    command += ["--max-examples", str(examples), "--seed", str(seed), "--phases", "examples,coverage,fuzzing"]
    command += ["--warnings", "off", "--suppress-health-check", "all", "--url", address]
    with tempfile.TemporaryDirectory(prefix="thorax-bench-") as folder:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1800)
    said = done.stdout + done.stderr
    found = re.search(r"(\d+) (?:unique )?failures?", said)
    if done.returncode and not found:
        return 1, said
    return (int(found.group(1)) if found and done.returncode else 0), said
