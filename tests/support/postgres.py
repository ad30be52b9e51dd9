"""A PostgreSQL server of a test's own, from Debian's package: loopback, a free port, gone when the test ends."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _programs() -> Path:
    """The folder of `initdb`, or skip the test."""
    found = shutil.which("initdb") or next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))[::-1]), None)
    if not found:
        pytest.skip("PostgreSQL is not installed (on Debian: apt-get install postgresql)")
    return Path(found).resolve().parent


@contextmanager
def postgres(database: str = "thorax") -> Iterator[str]:
    """Start a server with an empty database; gives its address, `postgresql://…`.

    PostgreSQL refuses to run as root, so root starts it as Debian's `postgres`, in a folder of that account.
    """
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    data = folder / "data"
    act: list[str] = []
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        act = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]

    def call(program: str, *arguments: str) -> None:
        subprocess.run([*act, str(programs / program), *arguments], check=True, stdout=subprocess.DEVNULL, cwd=folder)

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    call("initdb", "--pgdata", str(data), "--username=thorax", "--auth=trust", "--encoding=UTF8", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    call("pg_ctl", "start", "--pgdata", str(data), "--wait", "--log", str(folder / "log"), "-o", options)
    try:
        call("createdb", "--host=127.0.0.1", f"--port={port}", "--username=thorax", database)
        yield f"postgresql://thorax@127.0.0.1:{port}/{database}"
    finally:
        call("pg_ctl", "stop", "--pgdata", str(data), "--mode=immediate")
        shutil.rmtree(folder, ignore_errors=True)
