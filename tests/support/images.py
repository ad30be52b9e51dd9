"""Container images without an engine or a registry: Debian's buildah builds them, and a chroot runs them read-only."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

#: The environment as this process was given it, with the proxy of this machine, if it has one: the tests set another.
_GIVEN = dict(item.split("=", 1) for item in Path("/proc/self/environ").read_text().split("\0") if "=" in item)
ENVIRONMENT = _GIVEN | {"STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}
BASE = "docker.io/library/python:3.11-slim-bookworm"
#: What a build needs of the machine: its authorities, and where its packages come from.
_OF_THE_MACHINE = ("/etc/ssl/certs", "/etc/pip.conf", "/etc/uv")


def available() -> bool:
    """Whether this machine can build images: root, buildah, debootstrap and Python 3.11 of Debian 12."""
    tools = all(shutil.which(tool) for tool in ("buildah", "debootstrap", "unshare", "chroot", "apt-get"))
    return tools and os.geteuid() == 0


def buildah(*arguments: str, timeout: float = 900) -> str:
    """Run buildah; return what it printed.

    Raises:
        AssertionError: it failed; with the end of what it printed.
    """
    command = ["buildah", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=ENVIRONMENT)
    assert done.returncode == 0, f"{' '.join(command[:2])}: {(done.stdout + done.stderr)[-3000:]}"
    return done.stdout.strip()


def base_image(folder: Path) -> None:
    """Make the base image of the Dockerfile from Debian's packages, unless the store has it.

    Args:
        folder: gets the root file system.
    """
    if BASE.removeprefix("docker.io/") in buildah("images", "--format", "{{.Name}}:{{.Tag}}").replace("docker.io/", ""):
        return
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)"], capture_output=True, text=True
    )
    mirror = next(line.split()[0] for line in listed.stdout.splitlines() if line.split()[1:] == ["bookworm", "main"])
    root = folder / "rootfs"
    packages = "--include=python3,python3-venv,ca-certificates"
    command = ["debootstrap", "--variant=minbase", packages, "bookworm", str(root), mirror]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=ENVIRONMENT)
    assert done.returncode == 0, done.stdout[-2000:]
    for cached in (root / "var/cache/apt/archives").glob("*.deb"):
        cached.unlink()
    container = buildah("from", "scratch")
    mounted = buildah("mount", container)
    subprocess.run(["cp", "-a", f"{root}/.", mounted], check=True)
    (Path(mounted) / "usr/bin/python").symlink_to("python3")
    buildah("umount", container)
    buildah("commit", "-q", container, BASE)
    buildah("rm", container)
    shutil.rmtree(root)


def build(project: Path, variant: str, tag: str) -> None:
    """Build one variant of the project's image."""
    volumes = [f"--volume={path}:{path}:ro" for path in _OF_THE_MACHINE if Path(path).exists()]
    arguments = ["--build-arg=PYTHON=3.11", f"--build-arg=VARIANT={variant}", *volumes]
    file = str(project / "deploy" / "Dockerfile")
    buildah("bud", "--pull-never", "--network=host", *arguments, "-f", file, "-t", tag, str(project), timeout=1500)


@contextmanager
def mounted(tag: str) -> Iterator[Path]:
    """Yield the root folder of an image."""
    container = buildah("from", "--pull-never", tag)
    try:
        yield Path(buildah("mount", container))
    finally:
        buildah("umount", container)
        buildah("rm", container)


def command_in(
    root: Path, binds: Mapping[Path, str], command: Sequence[str], variables: Mapping[str, str]
) -> list[str]:
    """Return the command line that runs a command in an image: read-only root, user 10001, /tmp in memory.

    Args:
        root: of the image.
        binds: a folder of this machine, and where it is in the image.
        command: as the image's entry point and arguments.
        variables: of the environment; nothing else is handed on.
    """
    steps = [f"mount --bind '{root}' '{root}'"]
    steps += [f"mkdir -p '{root}{place}' && mount --bind '{path}' '{root}{place}'" for path, place in binds.items()]
    # A container engine gives the machine's name of itself too.
    steps += [f"touch '{root}/etc/hosts' && mount --bind /etc/hosts '{root}/etc/hosts'"]
    steps += [f"mount -o remount,ro,bind '{root}'", f"mount -t tmpfs tmpfs '{root}/tmp'", f"chmod 1777 '{root}/tmp'"]
    steps += [f"mount -t proc proc '{root}/proc'", f"mount --rbind /dev '{root}/dev'"]
    inner = ["env", "-i", *(f"{key}={value}" for key, value in variables.items()), *command]
    run = ["chroot", "--userspec=10001:10001", str(root), *inner]
    script = " && ".join(steps) + ' && exec "$@"'
    return ["unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh", *run]


def variables_of(tag: str) -> dict[str, str]:
    """Return the environment that an image declares."""
    found = json.loads(buildah("inspect", "--type=image", tag))["OCIv1"]["config"]["Env"]
    return dict(item.split("=", 1) for item in found)
