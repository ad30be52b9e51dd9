"""MLflow as a team runs it: a server with PostgreSQL, artifacts in S3 (moto's), and users with passwords."""

import os
import secrets
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
from postgres import postgres

BUCKET = "models"
_PATIENCE = 120.0


@dataclass(frozen=True)
class Server:
    """A running server: its address, S3's, and a name and password of an administrator and of a mere reader."""

    url: str
    s3: str
    admin: tuple[str, str]
    reader: tuple[str, str]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def mlflow_server(folder: Path) -> Iterator[Server]:
    """Start PostgreSQL, moto's S3 and an MLflow server over them, and end them afterwards."""
    from moto.server import ThreadedMotoServer

    s3 = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    s3.start()
    host, port = s3.get_host_and_port()
    try:
        with postgres() as database, _mlflow(folder, database, f"http://{host}:{port}") as server:
            yield server
    finally:
        s3.stop()


@contextmanager
def _mlflow(folder: Path, database: str, s3: str) -> Iterator[Server]:
    import boto3

    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    boto3.client(
        "s3", endpoint_url=s3, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
    ).create_bucket(Bucket=BUCKET)
    admin, reader = (("admin", secrets.token_hex(12)), ("reader", secrets.token_hex(12)))
    (folder / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = READ\n"
        f"database_uri = sqlite:///{folder / 'users.db'}\nadmin_username = {admin[0]}\nadmin_password = {admin[1]}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    url = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--workers", "1"]
    command += ["--host", "127.0.0.1", "--port", url.rpartition(":")[2]]
    command += ["--backend-store-uri", database.replace("postgresql://", "postgresql+psycopg://")]
    command += ["--artifacts-destination", f"s3://{BUCKET}"]
    environment = {
        **os.environ,
        **keys,
        "MLFLOW_S3_ENDPOINT_URL": s3,
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(16),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        # Else a change within that many seconds of another is not told to who was registered between the two.
        "MLFLOW_WEBHOOK_CACHE_TTL": "0",
    }
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder, start_new_session=True)
    try:
        _wait(url, process, folder / "server.log")
        made = requests.post(
            f"{url}/api/2.0/mlflow/users/create",
            json={"username": reader[0], "password": reader[1]},
            auth=admin,
            timeout=30,
        )
        made.raise_for_status()
        _hash_lightly(folder / "users.db", [admin, reader])
        yield Server(url, s3, admin, reader)
    finally:
        end(process)


def _hash_lightly(users: Path, known: Sequence[tuple[str, str]]) -> None:
    """Store the passwords under a cheap hash: the server checks one a request or more, a tenth of a second each."""
    from werkzeug.security import generate_password_hash

    with closing(sqlite3.connect(users, timeout=30)) as database, database:
        for name, password in known:
            light = generate_password_hash(password, method="pbkdf2:sha256:1000")
            database.execute("UPDATE users SET password_hash = ? WHERE username = ?", [light, name])


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            if requests.get(f"{url}/health", timeout=5).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.2)
    raise AssertionError(f"MLflow did not start:\n{log.read_text()[-3000:]}")


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a server that was started in a session of its own, with its workers."""
    import signal

    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=10)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
