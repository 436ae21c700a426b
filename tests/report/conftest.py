"""One hostile dataset for all tests here, which must not change it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.made import HOSTILE, hostile_dataset


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset with `HOSTILE` in every field."""
    return hostile_dataset(tmp_path_factory.mktemp("hostile"), HOSTILE)
