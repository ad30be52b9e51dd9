"""Import and start everything that an image is for; run as the last step of its build.

    python check_image.py

An image with Kubeflow's library is the pipeline's; one without it is the service's.
"""

import importlib
import subprocess
import sys
from importlib.util import find_spec

#: What every image starts: the service, its page, MLflow's server and the command line.
SERVE = (
    *("serving.service", "serving.scoring", "serving.explaining", "serving.page.__main__", "serving.launch"),
    # Pandas passes over a PyArrow that cannot be imported; the log's Parquet files need it.
    *("pyarrow.parquet", "thorax.bundle", "thorax.reporting", "thorax.prediction_log.postgres"),
    *("thorax.registry.bundles", "thorax.registry.versions", "thorax.registry.pyfunc", "mlflow.server"),
)
#: What the pipeline's image starts besides: training, monitoring and every step.
STEPS = (
    *("check", "ingest", "prepare", "validate", "preprocess", "train", "calibrate", "evaluate", "select", "register"),
    *("drift", "decide"),
)
PIPELINE = (
    "torch",
    "thorax.training",
    "thorax.monitoring.drift",
    "evidently",
    *(f"components.{step}" for step in STEPS),
)


def main() -> int:
    """Import the modules and start the command line; return 1 if one fails."""
    failed = 0
    for name in (*SERVE, *(PIPELINE if find_spec("kfp") else ())):
        try:
            importlib.import_module(name)
        except Exception as error:
            sys.stderr.write(f"{name}: {type(error).__name__}: {error}\n")
            failed = 1
    for command in (["thorax", "--help"], ["thorax", "serve", "--help"], ["mlflow", "--version"]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.stderr.write(f"{' '.join(command)}: {(done.stderr or done.stdout)[-400:]}\n")
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
