"""One virtual Slurm, and one input with its single build, for all tests here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.slurm.cluster import ROOT, Cluster, missing
from tests.engines.slurm.world import Runs, Single, single_build


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Four nodes, which have this checkout, Python, and the tests' folders in common."""
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("cluster")
    shared = {tmp_path_factory.getbasetemp(), ROOT, *map(Path, (sys.prefix, sys.base_prefix))}
    running = Cluster(folder, 4, *(path.resolve() for path in shared))
    yield running
    running.close()


@pytest.fixture(scope="session")
def single(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Single:
    return single_build(tmp_path_factory.mktemp("single"))


@pytest.fixture
def runs(cluster: Cluster, single: Single, tmp_path: Path) -> Iterator[Runs]:
    yield Runs(cluster, tmp_path, single)
    cluster.restore()
