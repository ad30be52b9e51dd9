"""Reaching a Kubeflow cluster, and telling in plain words why it could not be reached."""

import contextlib
import io
import os
import ssl
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from thorax.errors import InputError, SettingsError, ThoraxError
from thorax.proxies import proxy_of
from thorax.settings import Settings

if TYPE_CHECKING:
    from kfp import Client

#: A bearer token, or a session's cookies (as Dex sets them), for a cluster that asks for one.
TOKEN, COOKIES = "THORAX_KFP_TOKEN", "THORAX_KFP_COOKIES"
#: Seconds to wait for an answer.
PATIENCE = 15.0


class ClusterError(ThoraxError):
    """The cluster cannot be reached, or refused."""

    exit_code = 5


def connect(settings: Settings) -> "Client":
    """Return Kubeflow's client, after one question that the cluster answered.

    Raises:
        SettingsError: no address, or a token file that is missing.
        ClusterError: the cluster cannot be reached, or does not accept the credentials.
    """
    cluster = settings.cluster
    token, cookies = _token(settings), os.environ.get(COOKIES)
    certificate = str(settings.at_home(cluster.ca_certificate)) if cluster.ca_certificate else None
    host = cluster.host or os.environ.get("KF_PIPELINES_ENDPOINT")
    if host:
        _ask(host, token, cookies, certificate)
    with quiet(), explained(host):
        from kfp import Client

        client = Client(
            host=host,
            existing_token=token,
            cookies=cookies,
            ssl_ca_cert=certificate,
            proxy=proxy_of(_url(host)) if host else None,  # it reads no environment
            **({"namespace": cluster.namespace} if cluster.namespace else {}),
        )
    reached = client._healthz_api.api_client.configuration.host
    if not reached or reached == "http://localhost":
        raise SettingsError(
            "No Kubeflow cluster is configured.",
            "Set cluster.host in params.yaml or KF_PIPELINES_ENDPOINT, or point kubeconfig at one.",
        )
    return client


def _ask(host: str, token: str | None, cookies: str | None, certificate: str | None) -> None:
    """Ask for a sign of life once; Kubeflow's client would ask five times in half a minute, and print each failure."""
    import httpx
    from kfp_server_api import ApiException

    headers = {"authorization": f"Bearer {token}"} if token else {}
    headers |= {"cookie": cookies} if cookies else {}
    address = _url(host)
    with explained(host):
        context = ssl.create_default_context(cafile=certificate) if certificate else True
        try:
            answer = httpx.get(
                f"{address.rstrip('/')}/apis/v2beta1/healthz", headers=headers, timeout=PATIENCE, verify=context
            )
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise OSError(str(error)) from error
        if answer.status_code in range(300, 400):  # a login page
            raise ApiException(status=401, reason="redirected to log in")
        if answer.is_error:
            raise ApiException(status=answer.status_code, reason=answer.text[:200])


def _url(host: str) -> str:
    return host if host.startswith("http") else f"https://{host}"


def _token(settings: Settings) -> str | None:
    file = settings.cluster.token_file
    if file is None:
        return os.environ.get(TOKEN)
    try:
        return settings.at_home(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(
            f"cluster.token_file: {settings.at_home(file)} cannot be read.", f"Or set the {TOKEN} variable."
        ) from error


def link(client: "Client", run_id: str) -> str:
    """Return where a person sees a run."""
    return f"{client._get_url_prefix()}/#/runs/details/{run_id}"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the client's own prints and warnings from the terminal, and from JSON."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def explained(host: str | None) -> Iterator[None]:
    """Turn what the clients raise into what a person can act on."""
    from kfp_server_api import ApiException
    from kubernetes.client import ApiException as KubernetesException
    from urllib3.exceptions import HTTPError

    where = host or "the cluster"
    try:
        yield
    except (ApiException, KubernetesException) as error:
        if error.status in (401, 403):
            raise ClusterError(
                f"{where} does not accept the credentials ({error.status}).",
                f"A token may have expired: renew cluster.token_file, {TOKEN} or {COOKIES}.",
            ) from error
        if error.status == 404:
            raise InputError(
                f"{where} does not know that ({error.reason}).", "`thorax pipeline runs` lists what it holds."
            ) from error
        text = str(error.body or error.reason)[:300]
        raise ClusterError(f"{where} answered {error.status}: {text}", "Its own log says more.") from error
    except (HTTPError, OSError, TimeoutError) as error:
        raise ClusterError(
            f"{where} cannot be reached: {str(error).splitlines()[0][:200]}",
            "Is the address right (cluster.host), and does a port-forward or VPN have to be opened first?",
        ) from error
