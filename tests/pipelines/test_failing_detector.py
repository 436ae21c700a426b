"""A detector that fails on some images costs those images, never the build."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.pipelines.world import Server, build, config, images, manifest

DETECTOR = """
from bench.fixed_detector import load as load_fixed


class Failing:
    def __init__(self, config):
        self.inner = load_fixed(config)
        self.identity = self.inner.identity

    def detect(self, images, phrases):
        for asked in phrases:
            if any("red" in phrase for phrase in asked):
                raise RuntimeError("CUDA error: an illegal memory access")
        return self.inner.detect(images, phrases)


def load(config):
    return Failing(config)
"""

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_of_the_detector_is_a_reject(
    tmp_path: Path, server: Server, workers: int
) -> None:
    (tmp_path / "failing_detector.py").write_text(DETECTOR)
    chosen = config(tmp_path, server.url, detect={"backend": "failing_detector:load"})
    beam = (f"--direct_num_workers={workers}",) if workers > 1 else ()
    done = build(chosen, images(tmp_path / "in", 20), tmp_path / "out", *beam)
    assert done.returncode == 0, done.stderr
    counts = manifest(tmp_path / "out")["counts"]
    assert counts["read"] == counts["written"] + counts["rejected"] == 20
    assert manifest(tmp_path / "out")["rejects"].keys() == {"detector_failed"}
    assert counts["written"] and counts["rejected"]
    for file in (tmp_path / "out" / "rejected").iterdir():
        for row in pq.read_table(file).to_pylist():
            assert row["stage"] == "detect" and "illegal memory access" in row["detail"]
