"""Alerts: told once, kept until they are delivered, signed, and without anything of a person."""

import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from thorax.monitoring.alerts import deliver, post, waiting
from thorax.monitoring.channels import channels
from thorax.monitoring.history import History
from thorax.monitoring.incidents import Incidents
from thorax.monitoring.notices import Notice, notice_of
from thorax.monitoring.verdict import Alarm, Verdict, Window
from thorax.settings.monitoring import Alerts


@dataclass
class Receiver:
    """A webhook's receiver that answers with `status`."""

    status: int = 200
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    box = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            box.taken.append((dict(self.headers), body))
            self.send_response(box.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    box.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield box
    server.shutdown()
    thread.join()
    server.server_close()


class Inbox:
    def __init__(self) -> None:
        self.mails: list[bytes] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append(envelope.content)
        return "250 OK"


def news(history: History) -> Notice:
    window = Window("1", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", 500)
    verdict = Verdict("alarm", window, (Alarm("noise", "image", 0.4, 0.1, 4.0, 2),))
    history.keep(verdict)
    found = notice_of(Incidents(history).follow(verdict, 3), verdict)
    assert found is not None
    return found


def test_a_webhook_is_signed_and_sent_once(receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THORAX_ALERT_SECRET", "s3cret")
    history = History(tmp_path / "h.db")
    ways = channels(Alerts.model_validate({"webhook": {"url": receiver.url}}))
    notice = news(history)
    for _ in range(2):  # a run that was killed after the alarm, and run again
        post(history, "webhook", notice)
        assert deliver(history, ways) == []
    ((headers, body),) = receiver.taken
    signed = hmac.new(b"s3cret", headers["X-Thorax-Timestamp"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["X-Thorax-Signature"] == f"sha256={signed}"
    tree = json.loads(body)
    assert (tree["event"], tree["verdict"]["alarms"][0]["figure"]) == ("incident.opened", "noise")
    assert headers["X-Thorax-Notice"] == tree["notice"]


def test_what_cannot_be_delivered_is_kept_and_tried_again(receiver: Receiver, tmp_path: Path) -> None:
    history = History(tmp_path / "h.db")
    ways = channels(Alerts.model_validate({"webhook": {"url": receiver.url}}))
    post(history, "webhook", news(history))
    receiver.status = 503
    assert deliver(history, ways) == ["The webhook answered 503. It is kept, and tried again with the next run."]
    assert len(receiver.taken) == 3  # a short outage is waited for
    ((channel, subject, attempts, problem),) = waiting(history)
    assert (channel, attempts, problem) == ("webhook", 1, "The webhook answered 503.")
    assert subject == "[thorax] Alarm on version 1: image: noise"
    receiver.status = 200
    assert deliver(history, ways) == []
    assert waiting(history) == []


def test_servers_that_are_not_there_are_said_and_do_not_stop_the_other(receiver: Receiver, tmp_path: Path) -> None:
    history = History(tmp_path / "h.db")
    alerts = {"mail": {"to": ["a@example.org"], "host": "127.0.0.1", "port": 1}, "webhook": {"url": receiver.url}}
    ways = channels(Alerts.model_validate(alerts | {"timeout_seconds": 1}))
    for name in ways:
        post(history, name, news(history) if name == "mail" else Notice("x", "s", "t", {}))
    (problem,) = deliver(history, ways)
    assert "mail server 127.0.0.1:1 did not take it" in problem
    assert len(receiver.taken) == 1
    gone = channels(Alerts.model_validate({"webhook": {"url": "http://127.0.0.1:1/"}, "timeout_seconds": 1}))
    post(history, "webhook", Notice("y", "s", "t", {}))
    assert "cannot be reached" in deliver(history, gone)[0]


def test_mail_arrives(tmp_path: Path) -> None:
    inbox = Inbox()
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(inbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        history = History(tmp_path / "h.db")
        mail = {"to": ["ward@example.org", "it@example.org"], "host": "127.0.0.1", "port": port}
        post(history, "mail", news(history))
        assert deliver(history, channels(Alerts.model_validate({"mail": mail}))) == []
    finally:
        controller.stop()
    message = message_from_bytes(inbox.mails[0])
    assert message["To"] == "ward@example.org, it@example.org"
    assert message["Subject"] == "[thorax] Alarm on version 1: image: noise"
    text = message.get_payload(decode=True).decode()  # type: ignore[union-attr]
    assert "thorax monitor ack 1" in text
    assert "image: noise: 0.400, cut-off 0.100, score 4.00, 2 windows in a row" in text
