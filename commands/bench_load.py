"""Load on a service, made cheaply enough that the one who measures does not become what is measured."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_BOUNDARY = "thorax-bench"


@dataclass
class Load:
    """What came back: seconds each answer took, statuses, and how long all of it lasted."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Good answers a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def quantile(self, share: float) -> float:
        """Seconds within which a share of the answers came."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


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
    head = (
        f"POST {route} HTTP/1.1\r\nHost: {urlsplit(address).netloc}\r\n"
        f"Content-Type: multipart/form-data; boundary={_BOUNDARY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def run_load(address: str, requests: Sequence[bytes], clients: int, seconds: float, rate: float | None = None) -> Load:
    """Ask for `seconds`; each client asks again as soon as it is answered, or all together at `rate` a second."""
    return asyncio.run(_run(address, requests, clients, seconds, rate))


async def _run(address: str, requests: Sequence[bytes], clients: int, seconds: float, rate: float | None) -> Load:
    load = Load()
    turns = itertools.cycle(requests)
    start = time.perf_counter()
    ticks = itertools.count()

    async def client() -> None:
        where = urlsplit(address)
        reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=1 << 24)
        while True:
            due = start + next(ticks) / rate if rate else time.perf_counter()
            if due >= start + seconds or time.perf_counter() >= start + seconds:
                break
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            began = due if rate else time.perf_counter()
            if reader.at_eof():  # the server ends connections that were idle for seconds, as any server does
                reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=1 << 24)
            writer.write(next(turns))
            status = await _answer(reader)
            if status == 200:
                load.latencies.append(time.perf_counter() - began)
            else:
                load.failed.append(str(status))
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    load.seconds = time.perf_counter() - start
    return load


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    await reader.readexactly(length)
    return status
