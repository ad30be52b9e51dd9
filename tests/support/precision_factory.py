"""What a bundle may say of its precisions."""

import json
from pathlib import Path

from thorax.bundle.precision import Difference, Measured, Record


def measured(**changed: object) -> Measured:
    """What was measured of a network whose answers hardly move, and that became twice as fast."""
    little = Difference(largest=0.01, mean=0.001)
    figures = {
        "runtime": "OpenVINO 1",
        "processor": "some",
        "images": 200,
        "logits": Difference(largest=0.15, mean=0.03),  # as the tiny bundle's move, too
        "probabilities": little,
        "decisions": 0.002,
        "answers": 0.002,
        "novelty": 0.0,
        "novelty_score": little,
        "milliseconds": 30.0,
        "milliseconds_float32": 60.0,
    }
    return Measured.model_validate(figures | changed)


def rewrite(bundle: Path, found: Measured) -> None:
    """Let a bundle say that this was measured."""
    info = json.loads((bundle / "bundle.json").read_text())
    info["precision"] = Record(bfloat16=found).model_dump(mode="json")
    (bundle / "bundle.json").write_text(json.dumps(info))
