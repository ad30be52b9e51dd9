"""Fixtures of the training tests."""

from pathlib import Path

import pytest
from trainable_store import quick_recipe, write_store

from thorax import settings


@pytest.fixture
def store_folder(tmp_path: Path) -> Path:
    return write_store(tmp_path / "store")


@pytest.fixture
def recipe() -> settings.Train:
    return quick_recipe()
