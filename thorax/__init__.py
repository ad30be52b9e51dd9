"""Thorax: MLOps for multi-label diagnosis on chest radiographs.

Research software, not a medical device. Importing this package is cheap: it pulls in no framework.
"""

import os

# No library reports to its makers from here. Each reads its variable when it is imported (ONNX Runtime sends a report
# before its API can refuse), so all are set before anything else; child processes inherit them.
os.environ.update(
    {
        "BENTOML_DO_NOT_TRACK": "True",
        "DO_NOT_TRACK": "1",  # Evidently
        "DVC_NO_ANALYTICS": "1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "ORT_DISABLE_TELEMETRY": "1",
    }
)

__version__ = "0.1.0"
