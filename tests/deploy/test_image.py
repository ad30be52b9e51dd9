"""The image of the service, built and run: read-only, as its own user, with the answers that the bare service gives."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import images
import pytest

from thorax.bundle import Bundle
from thorax.imaging import read_image

ROOT = Path(__file__).resolve().parents[2]
#: Set to 1 to build the image, or to the tag of one that was built.
CHOSEN = os.environ.get("THORAX_TEST_IMAGES", "")
TAG = "localhost/thorax-serve:test" if CHOSEN == "1" else CHOSEN
#: What the image may hold, in MB.
LIMIT = 1200

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(
        not (images.available() and CHOSEN),
        reason="needs buildah, debootstrap and root; make test-images",
    ),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The image's root folder."""
    if CHOSEN == "1":
        images.base_image(tmp_path_factory.mktemp("base"))
        images.build(ROOT, "serve", TAG)
    with images.mounted(TAG) as folder:
        yield folder


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def started(root: Path, binds: dict[Path, str], port: int, page: int, log: Path) -> subprocess.Popen[bytes]:
    """Start the service and its page in the image, and wait until it answers."""
    arguments = ["serve", f"--port={port}", f"--page-port={page}", "--bundle=/mnt/bundle"]
    settings = ["-S", "paths.var=/mnt/thorax/var"]
    command = images.command_in(root, binds, ["thorax", *arguments, *settings], images.variables_of(TAG))
    with log.open("ab") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True)
    deadline = time.monotonic() + 120
    addresses = (f"http://127.0.0.1:{port}/readyz", f"http://127.0.0.1:{page}/")
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if all(httpx.get(one, timeout=5, follow_redirects=True).status_code == 200 for one in addresses):
                return process
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"The service in the image did not start:\n{log.read_text()[-3000:]}")


def test_the_service_runs_in_the_image_and_answers_as_it_does_outside(
    root: Path, sample_bundle: Path, tmp_path: Path
) -> None:
    work, image = tmp_path / "work", sample_bundle / "examples" / "1-positive.png"
    work.mkdir()
    for folder in (tmp_path, *tmp_path.parents, sample_bundle, *sample_bundle.parents):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    os.chown(work, 10001, 10001)
    for path in sample_bundle.rglob("*"):
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
    binds = {sample_bundle: "/mnt/bundle", work: "/mnt/thorax"}
    (expected,) = Bundle.load(sample_bundle).predict([read_image(image)])
    for attempt in range(2):
        port, page = free_port(), free_port()
        process = started(root, binds, port, page, tmp_path / "log.txt")
        try:
            answer = httpx.post(
                f"http://127.0.0.1:{port}/predict", files={"file": image.read_bytes()}, timeout=30
            ).json()
            found = {one["finding"]: one["probability"] for one in answer["findings"]}
            assert found == pytest.approx({one.finding: one.probability for one in expected.findings}, abs=1e-6)
        finally:
            os.killpg(process.pid, signal.SIGKILL if attempt == 0 else signal.SIGTERM)
            process.wait(30)
        time.sleep(1)
    assert (root / "opt" / "thorax").stat().st_uid == 0, "the service's own user cannot change its code"


def test_the_image_is_small_enough(root: Path) -> None:
    size = sum(path.lstat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6
    assert size <= LIMIT, f"{size:.0f} MB"
