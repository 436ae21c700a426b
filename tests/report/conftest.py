"""One hostile dataset for all tests here; none of them may change it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.made import HOSTILE, told_by


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset that says `HOSTILE` wherever it can."""
    return told_by(tmp_path_factory.mktemp("hostile"), HOSTILE)
