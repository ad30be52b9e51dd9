"""Limits on what arrives: size, pace and number, whatever the headers claim."""

import asyncio
import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from serving.guard import Guard
from serving.runtime import Runtime


class Talk:
    """One request to a guarded application that answers with the size of the body that reached it."""

    def __init__(self, runtime: Runtime, pause: float = 0.0) -> None:
        self.reached = 0
        self.sent: list[Message] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            self.reached += 1
            message = await receive()
            await asyncio.sleep(pause)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": str(len(message["body"])).encode()})

        self.guard = Guard(app, lambda: runtime)

    async def ask(self, parts: Iterator[Any], headers: dict[str, str] | None = None) -> tuple[int, Any, dict[str, str]]:
        """Send `parts` (bytes, or seconds to wait); return status, JSON body and headers."""
        given = {"content-type": "multipart/form-data; boundary=b"} | (headers or {})
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/predict",
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }
        sent: list[Message] = []

        async def receive() -> Message:
            part = next(parts, None)
            if isinstance(part, float):
                await asyncio.sleep(part)
                part = b""
            if part is None:
                return {"type": "http.request", "body": b"", "more_body": False}
            return {"type": "http.request", "body": part, "more_body": True}

        async def send(message: Message) -> None:
            sent.append(message)

        await self.guard(scope, receive, send)
        told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], json.loads(sent[1]["body"]), told


def test_a_body_in_parts_arrives_whole(runtime: Runtime) -> None:
    status, size, _ = asyncio.run(Talk(runtime).ask(iter([b"a" * 1000] * 5)))
    assert (status, size) == (200, 5000)


def test_a_body_that_does_not_end_is_cut_at_the_limit(runtime: Runtime) -> None:
    talk = Talk(runtime)
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1 << 16
            yield b"a" * (1 << 16)

    status, said, headers = asyncio.run(talk.ask(endless()))
    assert status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert "1 MiB" in said["error"]
    assert taken <= runtime.max_upload_bytes + (1 << 17)
    assert headers["connection"] == "close"
    assert talk.reached == 0


def test_a_declared_size_is_refused_before_a_byte_is_read(runtime: Runtime) -> None:
    def nothing() -> Iterator[bytes]:
        raise AssertionError("read")
        yield b""

    status, _, _ = asyncio.run(Talk(runtime).ask(nothing(), {"content-length": str(10**9)}))
    assert status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_a_body_that_drips_is_given_up(runtime: Runtime) -> None:
    hasty = runtime.model_copy(update={"upload_seconds": 0.1})
    status, said, _ = asyncio.run(Talk(hasty).ask(iter([b"a", 0.5])))
    assert status == HTTPStatus.REQUEST_TIMEOUT
    assert "too long" in said["error"]


def test_more_than_can_wait_are_told_when_to_come_again(runtime: Runtime) -> None:
    talk = Talk(runtime.model_copy(update={"max_waiting": 3}), pause=0.05)

    async def crowd() -> list[tuple[int, Any, dict[str, str]]]:
        return await asyncio.gather(*(talk.ask(iter([b"a"])) for _ in range(5)))

    answers = asyncio.run(crowd())
    assert sorted(status for status, _, _ in answers) == [200, 200, 200, 503, 503]
    assert {headers.get("retry-after") for status, _, headers in answers if status == 503} == {"1"}
    status, _, _ = asyncio.run(talk.ask(iter([b"a"])))
    assert status == 200  # and those that left made room


@pytest.mark.parametrize("length", ["1e3", "٣", "-1", "9" * 30])
def test_a_length_that_is_no_number_is_refused(runtime: Runtime, length: str) -> None:
    status, _, _ = asyncio.run(Talk(runtime).ask(iter([b"a"]), {"content-length": length}))
    assert status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_all_that_arrives_at_once_is_bounded_too(runtime: Runtime) -> None:
    """Many bodies that are each small enough would fill the memory together."""
    talk = Talk(runtime.model_copy(update={"max_batch_bytes": 100_000}))

    async def crowd() -> list[tuple[int, Any, dict[str, str]]]:
        return await asyncio.gather(*(talk.ask(iter([b"a" * 60_000, 0.05])) for _ in range(5)))

    answers = asyncio.run(crowd())
    assert sorted(status for status, _, _ in answers) == [200, 200, 200, 503, 503]
    assert {headers["retry-after"] for status, _, headers in answers if status == 503} == {"5"}
    status, _, _ = asyncio.run(talk.ask(iter([b"a" * 60_000])))
    assert status == 200
