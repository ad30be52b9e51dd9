"""A proxy in the environment: what goes outside goes through it, what stays inside never does, whatever the client."""

import contextlib
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from recording_proxy import VARIABLES, Proxy

from thorax.errors import SettingsError
from thorax.proxies import bypass, completed
from thorax.settings import load

OUTSIDE, INSIDE = "http://registry.outside.example", "http://registry.hospital.invalid"


def ask_httpx(url: str) -> None:
    import httpx

    httpx.get(url, timeout=5)


def ask_requests(url: str) -> None:
    import requests

    requests.get(url, timeout=5)


def ask_urllib(url: str) -> None:
    urllib.request.build_opener().open(url, timeout=5)


def ask_aiohttp(url: str) -> None:
    """DVC's HTTP remotes ask this way."""
    import asyncio

    import aiohttp

    async def ask() -> None:
        async with aiohttp.ClientSession(trust_env=True) as session, session.get(url, timeout=aiohttp.ClientTimeout(5)):
            pass

    asyncio.run(ask())


def ask_s3(url: str) -> None:
    """MLflow's artifacts, and DVC's S3 remotes."""
    import boto3
    from botocore.config import Config

    once = Config(retries={"max_attempts": 1}, connect_timeout=5, s3={"addressing_style": "path"})
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=url, config=once, **keys).list_buckets()


def ask_otlp(url: str) -> None:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    OTLPSpanExporter(endpoint=f"{url}/v1/traces", timeout=1).export([])


def ask_grpc(url: str) -> None:
    import grpc

    with grpc.insecure_channel(url.removeprefix("http://") + ("" if url.count(":") > 1 else ":80")) as channel:
        grpc.channel_ready_future(channel).result(timeout=1)


def ask_kubeflow(url: str) -> None:
    from pipelines.cluster.connection import connect

    settings = load(os.environ["THORAX_HOME"], [f"cluster.host={url}"])
    # The question of its own goes with httpx; Kubeflow's client is another.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.cluster.connection._ask", lambda *_: None)
        connect(settings).list_experiments()


ASKING = [ask_httpx, ask_requests, ask_urllib, ask_aiohttp, ask_s3, ask_otlp, ask_grpc, ask_kubeflow]
clients = pytest.mark.parametrize("ask", ASKING, ids=lambda ask: ask.__name__.removeprefix("ask_"))


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch, home) -> Iterator[Proxy]:
    """A proxy that the environment names, as a hospital's shell does: nothing is said of whom to reach directly."""
    with Proxy() as server:
        for name in VARIABLES:
            monkeypatch.setenv(name, server.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("THORAX_HOME", str(home))
        yield server


def asked_by(ask: Callable[[str], None], url: str, server: Proxy) -> list[str]:
    with contextlib.suppress(Exception):  # nobody answers: whom it went to is what matters
        ask(url)
    return server.asked


@clients
def test_what_goes_outside_goes_through_the_proxy(proxy: Proxy, home, ask) -> None:
    load(home, ["network.inside=[.hospital.invalid]"])
    assert asked_by(ask, OUTSIDE, proxy)


@clients
def test_what_is_inside_never_goes_to_the_proxy(proxy: Proxy, home, ask) -> None:
    load(home, ["network.inside=[.hospital.invalid]"])
    assert asked_by(ask, INSIDE, proxy) == []


@clients
@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.7.6"])
def test_this_machine_is_reached_directly(proxy: Proxy, home, ask, host) -> None:
    with Proxy(host) as server:
        # An address in numbers is known from the settings, or from the environment.
        load(home, [f"registry.tracking_uri={server.url}"])
        asked_by(ask, server.url, server)
        assert server.asked or ask is ask_grpc  # speaks another protocol, which this server cannot read
    assert proxy.asked == []


def test_only_the_general_proxy_is_given(proxy: Proxy, home, monkeypatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name)
    load(home)
    for ask in ASKING:
        proxy.asked.clear()
        assert asked_by(ask, OUTSIDE, proxy), ask.__name__


def test_what_the_user_set_is_kept_in_words_that_all_clients_understand() -> None:
    said = {"HTTPS_PROXY": "proxy:3128", "NO_PROXY": "*.Lab.example, [::1]:80 10.0.0.0/8,fd00::/8"}
    found = completed(said | {"S3": "http://10.1.2.3:9000", "MORE": "https://u:p@[fd00::5]/x"}, ["mlflow"])
    assert found["no_proxy"] == found["NO_PROXY"]
    entries = found["no_proxy"].split(",")
    assert entries[:3] == [".lab.example", "::1", "10.0.0.0/8"]
    assert {"mlflow", "localhost", "10.1.2.3", "fd00::5"} <= set(entries)
    assert found["https_proxy"] == found["HTTPS_PROXY"] == "proxy:3128"
    assert completed(said | {"no_proxy": "*"})["no_proxy"] == "*"


def test_without_a_proxy_the_environment_is_left_alone() -> None:
    assert completed({"NO_PROXY": "[::1]"}, ["mlflow"]) == {}


@pytest.mark.parametrize("value", ["socks://127.0.0.1:1080", "http://user:secret@proxy:port", "http://"])
def test_a_proxy_that_no_client_can_use_is_named(monkeypatch, value) -> None:
    monkeypatch.delenv("all_proxy", raising=False)
    monkeypatch.setenv("ALL_PROXY", value)
    with pytest.raises(SettingsError, match="ALL_PROXY names a proxy that cannot be used") as refused:
        bypass()
    assert "secret" not in str(refused.value)
    assert "socks5" in refused.value.mend


def test_a_socks_proxy_does_not_stop_requests_to_this_machine(monkeypatch, proxy: Proxy) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name)
    for name in ("all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "socks5h://127.0.0.1:9")
    bypass()
    for ask in (ask_httpx, ask_requests):
        asked_by(ask, proxy.url, proxy)
    assert len(proxy.asked) == 2


def test_steps_on_a_cluster_reach_what_is_inside(home) -> None:
    overrides = ["network.inside=[mlflow]", "cluster.environment={HTTPS_PROXY: http://proxy:3128}"]
    assert "mlflow" in load(home, overrides).steps_cluster.environment["NO_PROXY"].split(",")
    assert load(home, overrides[:1]).steps_cluster.environment == {}


def test_a_wrong_entry_is_refused(home) -> None:
    with pytest.raises(SettingsError, match=r"network\.inside"):
        load(home, ["network.inside=['http://mlflow:5000']"])


def test_no_library_reports_to_its_makers(proxy: Proxy, sample_bundle) -> None:
    """ONNX Runtime and OpenVINO do, where nobody forbids it."""
    program = (
        "import sys, time\nfrom pathlib import Path\n"
        "from thorax.bundle.session import open_session\nfrom thorax.bundle.openvino import _core\n"
        "open_session(Path(sys.argv[1]), 1)\n_core()\ntime.sleep(4)"
    )
    subprocess.run([sys.executable, "-c", program, str(sample_bundle / "model.onnx")], check=True, timeout=100)
    assert proxy.asked == []
