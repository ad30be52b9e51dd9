"""Start the service, its page and the publisher on one machine, and end them clean."""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from serving.client import CERTIFICATE, KEY
from serving.pointer import Pointer, write_pointer
from serving.publisher import ALIAS, CHALLENGER, Publisher
from serving.receiver import Receiver
from serving.runtime import VARIABLE, Runtime
from serving.security.journals import AuditLog
from serving.security.keys import digest_of, new_token
from thorax.endings import ended, last_of, with_words
from thorax.errors import SettingsError, ThoraxError
from thorax.settings import Settings

if TYPE_CHECKING:
    import httpx

_READY_SECONDS = 180.0


class StartError(ThoraxError):
    """A process of the service did not start, or ended by itself."""


@dataclass
class Running:
    """A started service; `address` and `page` are where to find it."""

    address: str
    page: str | None
    log: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    #: Where in the log these processes began to write.
    log_begin: int = 0
    #: The service's own certificate, where it speaks https.
    certificate: Path | None = None
    #: A key for the page and for this process.
    key: str = field(default="", repr=False)

    def get(self, route: str) -> "httpx.Response":
        """Ask the service something.

        Raises:
            httpx.HTTPError: it does not answer.
        """
        import httpx

        from serving.client import pinned_to

        trust = pinned_to(self.certificate) if self.certificate else True
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.get(f"{self.address}/{route}", timeout=5, verify=trust, headers=headers)

    def check(self) -> None:
        """Look whether everything still runs.

        Raises:
            StartError: says which process ended, how, and what it printed last.
        """
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise self.failure(f"The {name} {ended(process.returncode)}.")

    def failure(self, message: str) -> StartError:
        """Return an error that says what the processes printed last."""
        return StartError(with_words(message, last_of(self.log, self.log_begin)), f"The whole log: {self.log}")

    def state(self) -> str:
        """Say in one line what is being served, or why nothing is."""
        import httpx

        try:
            answer = self.get("model")
            told = answer.json()
        except (httpx.HTTPError, ValueError):
            return "The service does not answer."
        if answer.status_code != httpx.codes.OK:
            return f"No model is being served. {told.get('error', '')} {told.get('mend', '')}".strip()
        model = told["model"]
        kind = "; trained on synthetic phantoms" if model["synthetic"] else ""
        ran = f"in {model['precision']} by {told['precision']['runtime']}"
        said = f"Serving {model['name']} version {model['version']} ({model['architecture']}{kind}), {ran}."
        return f"{said} {told['note']}".strip()


@contextlib.contextmanager
def ending_on_signals() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, so that whatever was started is ended too."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def running(settings: Settings, bundle: Path | None = None, port: int = 0) -> Iterator[str]:
    """Run the service, without the page, until the block ends; yield its address once a model is being served.

    See `launched` for arguments and errors.
    """
    with launched(settings, bundle, port) as started:
        yield started.address


@contextlib.contextmanager
def launched(
    settings: Settings,
    bundle: Path | None = None,
    port: int | None = None,
    page: bool = False,
    page_port: int | None = None,
    wait: bool = True,
) -> Iterator[Running]:
    """Run the service until the block ends.

    Args:
        settings: limits, places, and where the registry is.
        bundle: a bundle folder to serve; without it, the registry's champion is followed.
        port: to listen on; 0 finds a free one; None takes that of the settings.
        page: whether to start the page too.
        page_port: of the page; None takes the one after the service's where that is free and was not found itself.
        wait: return only when a model is being served.

    Raises:
        BundleError: `bundle` is not one, or is damaged.
        StartError: a process did not start; says what it printed last.
    """
    runtime = Runtime.of(settings)
    runtime.folder.mkdir(parents=True, exist_ok=True)
    host = settings.serve.host
    wanted = settings.serve.port if port is None else port
    port = _require_free(host, wanted) if wanted else _free_port(host)
    log = runtime.folder / "service.log"
    publisher = _first_pointer(settings, runtime, bundle)
    certificate, private = tls_files(settings)
    scheme = "https" if certificate else "http"
    started = Running(url_of(scheme, host, port), None, log, certificate=certificate, key=new_token("page"))
    runtime = runtime.model_copy(update={"inner_key": digest_of(started.key)})
    with contextlib.ExitStack() as stack:
        if publisher is not None:
            stack.callback(publisher.close)
            publisher.start()
            receiver = _listening(settings, publisher)
            if receiver is not None:
                stack.callback(receiver.close)
        stream = stack.enter_context(log.open("ab"))
        started.log_begin = stream.tell()
        environment = _environment(settings, runtime)
        page_environment = environment | {KEY: started.key} | ({CERTIFICATE: str(certificate)} if certificate else {})
        command = [*_tied(), "serving.supervisor", "serve", "serving.service:Thorax", "--host", host]
        command += ["--port", str(port), "--timeout", "60"]
        command += ["--ssl-certfile", str(certificate), "--ssl-keyfile", str(private)] if certificate else []
        started.processes["service"] = _start(command, environment, stream)
        stack.callback(_end, started.processes["service"])
        if page:
            if page_port is None:
                page_port = _next_or_free(host, port) if wanted else _free_port(host)
            else:
                _require_free(host, page_port)
            started.page = url_of(scheme, host, page_port)
            command = [*_tied(), "serving.page", started.address, host, str(page_port)]
            command += [str(certificate), str(private)] if certificate else []
            started.processes["page"] = _start(command, page_environment, stream)
            stack.callback(_end, started.processes["page"])
        _wait(started, "livez")
        if wait:
            _wait(started, "readyz", publisher)
        yield started


def tls_files(settings: Settings) -> tuple[Path | None, Path | None]:
    """Return the certificate and its private key, or two Nones.

    Raises:
        SettingsError: a file is missing, or they do not belong together.
    """
    serve = settings.serve
    if serve.tls_certificate is None or serve.tls_key is None:
        return None, None
    certificate, private = settings.at_home(serve.tls_certificate), settings.at_home(serve.tls_key)
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, private, password="")  # nosec B106
    except FileNotFoundError as error:
        missing = private if certificate.is_file() else certificate
        raise SettingsError(
            f"There is no file {missing}.", "Correct serve.tls_certificate or serve.tls_key."
        ) from error
    except (ssl.SSLError, OSError) as error:
        raise SettingsError(
            f"{certificate} and {private} are no certificate and its unencrypted private key in PEM: {error}."
        ) from error
    return certificate, private


def _first_pointer(settings: Settings, runtime: Runtime, bundle: Path | None) -> Publisher | None:
    """Point at the given bundle, or return the publisher that will point at the champion."""
    if bundle is None:
        return Publisher(settings, runtime)
    from thorax.bundle.verify import read_info

    folder = bundle.absolute()
    read_info(folder)  # says at once, and to the person, that this is no bundle
    write_pointer(runtime.pointer, Pointer(bundle=folder))
    AuditLog(runtime.audit).write("bundle", folder=str(folder))
    return None


def _environment(settings: Settings, runtime: Runtime) -> dict[str, str]:
    """Write what the processes read, and return their environment."""
    runtime.write(runtime.folder / "runtime.json")
    bento_home = runtime.folder / "bentoml"
    bento_home.mkdir(exist_ok=True)
    project = Path(__file__).resolve().parent.parent
    path = os.pathsep.join([str(project), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {
        **os.environ,
        "PYTHONPATH": path,
        "THORAX_HOME": str(settings.home),
        VARIABLE: str(runtime.folder / "runtime.json"),
        "BENTOML_HOME": str(bento_home),
        "GRADIO_TEMP_DIR": str(runtime.folder / "page"),
        "HF_HUB_OFFLINE": "1",
        # One thread an image: requests run side by side, and waiting threads that spin starve each other.
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONUNBUFFERED": "1",
    }


def _tied() -> list[str]:
    """Return the beginning of a command that runs a module which ends when this process does."""
    return [sys.executable, "-m", "serving.tether", str(os.getpid())]


def _listening(settings: Settings, publisher: Publisher) -> Receiver | None:
    """Let MLflow's webhook wake the publisher, where a port is given.

    Raises:
        SettingsError: there is no secret to tell MLflow's messages from anyone's, or the port is taken.
    """
    if settings.serve.webhook_port is None:
        return None
    from thorax.registry.webhooks import SECRET

    secret = os.environ.get(SECRET, "")
    if not secret:
        raise SettingsError(
            f"serve.webhook_port is set, but {SECRET} is not.",
            f"Give {SECRET} the secret that the webhook was registered with.",
        )
    if settings.serve.webhook_port:
        _require_free(settings.serve.host, settings.serve.webhook_port)
    return Receiver(settings, secret, (ALIAS, CHALLENGER), publisher.wake)


def _start(command: list[str], environment: Mapping[str, str], stream: object) -> "subprocess.Popen[bytes]":
    # A session of its own: Ctrl-C reaches the parent alone, which then ends each process in order.
    return subprocess.Popen(
        command,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=stream,  # type: ignore[call-overload]
        stderr=stream,
        start_new_session=True,
    )


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask a process and its children to end; insist after a while."""
    for sign, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            if process.poll() is None and sign == signal.SIGTERM:
                process.terminate()  # the supervisor ends its workers itself
            else:
                os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=patience)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # whatever outlived its parent
            return


def _wait(started: Running, route: str, publisher: Publisher | None = None) -> None:
    """Wait until the service answers, or say why it will not."""
    import httpx

    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        started.check()
        with contextlib.suppress(httpx.HTTPError):
            if started.get(route).status_code == httpx.codes.OK:
                return
        if publisher is not None and publisher.settled and publisher.problem is not None:
            raise publisher.problem
        time.sleep(0.1)
    raise started.failure(f"The service is not up after {_READY_SECONDS:.0f} s.")


def url_of(scheme: str, host: str, port: int) -> str:
    """Return an address of a host, which may be an IPv6 address.

    >>> url_of("http", "::1", 3000)
    'http://[::1]:3000'
    """
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _socket(host: str) -> socket.socket:
    """Return a socket of the family, IPv4 or IPv6, of a host."""
    try:
        family = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][0]
    except OSError as error:
        raise SettingsError(f"serve.host: this machine has no address {host}: {error.strerror}.") from error
    return socket.socket(family)


def _free_port(host: str) -> int:
    with _socket(host) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _next_or_free(host: str, port: int) -> int:
    """Return the port after one, so that a page keeps its address over restarts, or a free one where it is taken."""
    try:
        return _require_free(host, port + 1)
    except (SettingsError, OverflowError):
        return _free_port(host)


def _require_free(host: str, port: int) -> int:
    with _socket(host) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SettingsError(
                f"Port {port} of {host} cannot be used: {error.strerror}.",
                "Choose another with --port, or end what uses it.",
            ) from error
    return port
