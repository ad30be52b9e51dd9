"""Load on a service, made cheaply enough that the one who measures does not become what is measured."""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_BOUNDARY = "thorax-bench"
_AGAIN_SECONDS = 0.05


@dataclass
class Load:
    """What came back: seconds each answer took, statuses, and how long all of it lasted.

    `repeated` counts requests whose connection broke before the answer and that were sent again.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    repeated: int = 0

    @property
    def per_second(self) -> float:
        """Good answers a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def quantile(self, share: float) -> float:
        """Seconds within which a share of the answers came."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


@dataclass(frozen=True)
class Plan:
    """How to ask.

    Attributes:
        clients: that ask at once, each again as soon as it is answered.
        seconds: how long.
        rate: requests a second of all clients together, whoever is free; None: as fast as they are answered.
        patience: seconds for which a request is sent again after its connection broke; 0: it counts as failed.
        stop: asked after every answer; ends the load early.
    """

    clients: int
    seconds: float
    rate: float | None = None
    patience: float = 0.0
    stop: Callable[[], bool] = lambda: False


#: Takes which client it was, the request's number, and the body of a good answer.
Keep = Callable[[int, int, bytes], None]


def request_bytes(address: str, route: str, image: bytes) -> bytes:
    """Return a whole HTTP request that uploads an image."""
    body = (
        (
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        + image
        + f"\r\n--{_BOUNDARY}--\r\n".encode()
    )
    return raw_request(address, route, body, f"multipart/form-data; boundary={_BOUNDARY}")


def raw_request(address: str, route: str, body: bytes, kind: str) -> bytes:
    """Return a whole HTTP request with a body of some kind."""
    head = (
        f"POST {route} HTTP/1.1\r\nHost: {urlsplit(address).netloc}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def run_load(
    address: str,
    requests: Sequence[bytes],
    clients: int,
    seconds: float,
    rate: float | None = None,
) -> Load:
    """Ask for `seconds`; each client asks again as soon as it is answered, or all together at `rate` a second."""
    return run_plan(address, requests, Plan(clients, seconds, rate))


def run_plan(address: str, requests: Sequence[bytes], plan: Plan, keep: Keep | None = None) -> Load:
    """Ask as planned, and hand every good answer's body to `keep`."""
    return asyncio.run(_run(address, requests, plan, keep))


async def _run(address: str, requests: Sequence[bytes], plan: Plan, keep: Keep | None) -> Load:
    load = Load()
    numbers = itertools.count()
    start = time.perf_counter()
    ticks = itertools.count()

    async def client(who: int) -> None:
        line = _Line(address)
        while not plan.stop():
            due = start + next(ticks) / plan.rate if plan.rate else time.perf_counter()
            if due >= start + plan.seconds or time.perf_counter() >= start + plan.seconds:
                break
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            began = due if plan.rate else time.perf_counter()
            number = next(numbers) % len(requests)
            answer = await _ask(line, requests[number], plan, load)
            if answer is None:
                load.failed.append("connection")
            elif answer[0] == 200:
                load.latencies.append(time.perf_counter() - began)
                if keep is not None:
                    keep(who, number, answer[1])
            else:
                load.failed.append(str(answer[0]))
        line.close()

    await asyncio.gather(*(client(who) for who in range(plan.clients)))
    load.seconds = time.perf_counter() - start
    return load


async def _ask(line: "_Line", request: bytes, plan: Plan, load: Load) -> tuple[int, bytes] | None:
    """Send a request, again where its connection breaks and patience lasts; return status and body, or None."""
    until = time.perf_counter() + plan.patience
    while True:
        try:
            return await line.ask(request)
        except (OSError, asyncio.IncompleteReadError):
            line.close()
            if time.perf_counter() >= until or plan.stop():
                return None
            load.repeated += 1
            await asyncio.sleep(_AGAIN_SECONDS)


class _Line:
    """One connection that is kept, and made again where the server ended it."""

    def __init__(self, address: str) -> None:
        where = urlsplit(address)
        self._host, self._port = where.hostname, where.port
        self._ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        if self._ends is None or self._ends[0].at_eof():  # servers end connections that were idle for seconds
            self.close()
            self._ends = await asyncio.open_connection(self._host, self._port, limit=1 << 24)
        reader, writer = self._ends
        writer.write(request)
        return await _answer(reader)

    def close(self) -> None:
        if self._ends is not None:
            self._ends[1].close()
            self._ends = None


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return status, await reader.readexactly(length)
