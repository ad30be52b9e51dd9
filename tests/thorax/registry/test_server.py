"""The same commands against a server as a team runs it: PostgreSQL, S3, users, and webhooks."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from thorax.errors import RegistryError
from thorax.registry import webhooks
from thorax.registry.audit import audit
from thorax.registry.bundles import fetch
from thorax.registry.decisions import history_of
from thorax.registry.evidence import Evidence
from thorax.registry.promotion import promote, rollback
from thorax.registry.versions import aliases, resolve
from thorax.registry.webhooks import AliasChange, understand
from thorax.settings import Settings, load

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SECRET = "a secret of some length"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from mlflow_server import mlflow_server

    with mlflow_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def sign_in(server: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[tuple[str, str]], None]:
    """A function that makes the following calls somebody's."""

    def become(who: tuple[str, str]) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", who[0])
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", who[1])

    become(server.admin)
    return become


@pytest.fixture(scope="module")
def project(
    server: Any,
    sample_bundle: Path,
    evaluation: dict[str, Any],
    evidence: Evidence,
    tmp_path_factory: pytest.TempPathFactory,
    project: Path,
) -> Settings:
    """A project whose registry is the server, with three versions; the first is champion."""
    from registry_factory import add

    folder = tmp_path_factory.mktemp("team")
    (folder / "params.yaml").write_text((project / "params.yaml").read_text())
    settings = load(folder, [f"registry.tracking_uri={server.url}", "evaluation.bootstrap=60"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_USERNAME", server.admin[0])
        patch.setenv("MLFLOW_TRACKING_PASSWORD", server.admin[1])
        for number in (1, 2, 3):
            add(settings, sample_bundle, evaluation, evidence, folder, number, 0.9)
    return settings


@pytest.fixture
def champion_one(project: Settings, sign_in: Callable[..., None]) -> Settings:
    """The project with version 1 as champion."""
    promote(project, "1", force=True, reason="set up")
    return project


def test_register_fetch_promote_and_roll_back(champion_one: Settings, server: Any) -> None:
    import boto3

    settings = champion_one
    store = boto3.client(
        "s3", endpoint_url=server.s3, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
    )
    names = [item["Key"] for item in store.list_objects_v2(Bucket="models")["Contents"]]
    assert sum(name.endswith("bundle/model.onnx") for name in names) == 3, "the models lie in S3"
    assert (fetch(settings, "2") / "model.onnx").is_file()
    assert promote(settings, "2", reason="better").previous == "1"
    assert rollback(settings, reason="worse").version == "1"
    assert history_of(settings).entries()[-1].who == "admin"
    assert audit(settings, bundles=False) == []


def test_a_user_without_the_right_is_told_so_and_nothing_is_done_for_them_later(
    champion_one: Settings, server: Any, sign_in: Callable[..., None], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    settings = champion_one
    sign_in(server.reader)
    assert resolve(settings).version == "1", "a reader may look"
    monkeypatch.setenv("THORAX_HOME", str(settings.home))
    overrides = ["-S", f"registry.tracking_uri={server.url}", "-S", "evaluation.bootstrap=60"]
    monkeypatch.setattr(sys, "argv", ["thorax", "models", "promote", "3", *overrides])
    from commands.main import main

    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 5
    told = " ".join(capsys.readouterr().err.split())
    assert "reader does not have the right" in told
    assert "MLFLOW_TRACKING_USERNAME" in told
    last = history_of(settings).entries()[-1]
    assert (last.action, last.target, last.who) == ("refused", "3", "reader")
    sign_in(server.admin)
    assert aliases(settings)["champion"] == "1"
    promote(settings, "2")
    done = [e for e in history_of(settings).entries() if e.stage == "done"]
    assert [(e.action, e.target) for e in done[-2:]] == [("refused", "3"), ("promote", "2")]


def test_a_wrong_password_is_no_way_in(project: Settings, server: Any, sign_in: Callable[..., None]) -> None:
    sign_in((server.admin[0], "not the password"))
    with pytest.raises(RegistryError, match="does not let admin in"):
        resolve(project)


def test_a_moved_alias_reaches_who_listens_signed(champion_one: Settings, sign_in: Callable[..., None]) -> None:
    settings, heard, arrived = champion_one, [], threading.Event()

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append(understand(dict(self.headers), body, SECRET))
            if heard[-1] == AliasChange("thorax", "champion", "3"):
                arrived.set()
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    listener = HTTPServer(("127.0.0.1", 0), Listener)
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.server_port}/webhook"
    made = webhooks.add(settings, "service", url, SECRET)
    try:
        assert [item.url for item in webhooks.list_webhooks(settings)] == [url]
        promote(settings, "3")
        assert arrived.wait(60), heard
    finally:
        # A second try, and the test that follows, find none.
        webhooks.remove(settings, made.name)
        listener.shutdown()
        thread.join()
        listener.server_close()
    assert webhooks.list_webhooks(settings) == []


def test_only_an_administrator_registers_webhooks(project: Settings, server: Any, sign_in: Callable[..., None]) -> None:
    sign_in(server.reader)
    with pytest.raises(RegistryError, match="does not have the right"):
        webhooks.add(project, "mine", "https://example.org/webhook", SECRET)
    assert json.dumps([item.as_dict() for item in _as_admin(project, server, sign_in)]) == "[]"


def _as_admin(settings: Settings, server: Any, sign_in: Callable[..., None]) -> list[webhooks.Webhook]:
    sign_in(server.admin)
    return webhooks.list_webhooks(settings)
