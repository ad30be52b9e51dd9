"""ONNX Runtime on what a machine has: what is wanted and missing is said, and the processor takes over."""

import logging
from pathlib import Path

import pytest

from thorax.bundle import Bundle
from thorax.bundle.session import CPU, choose_providers
from thorax.errors import SettingsError


def test_a_provider_that_is_not_installed_is_said_and_the_processor_takes_over(
    sample_bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "bentoml.thorax"):
        assert choose_providers(["MIGraphXExecutionProvider", CPU]) == [CPU]
        bundle = Bundle.load(sample_bundle, providers=["MIGraphXExecutionProvider"])
    assert "MIGraphXExecutionProvider is not installed" in caplog.text
    assert bundle.run(bundle.inputs([]))[0].shape == (0, 3)


def test_the_processor_comes_last_and_once() -> None:
    assert choose_providers([CPU, CPU]) == [CPU]
    assert choose_providers([]) == [CPU]


def test_an_unknown_provider_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SettingsError, match="no provider 'CUDAProvider'") as raised:
        choose_providers(["CUDAProvider"])
    assert "CUDAExecutionProvider" in raised.value.mend
