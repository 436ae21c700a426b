"""Each benchmark runs on a small input and prints its figures with their goals."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "command",
    [
        "audit --regions 500 1000",
        "boxes --images 20 40",
        pytest.param("care --samples 200", marks=pytest.mark.full),
        pytest.param("cpu_per_image --images 20", marks=pytest.mark.full),
        "demo_detector --scenes 4",
        "detect_select --images 50",
        pytest.param("detector_service --images 80", marks=pytest.mark.full),
        pytest.param("faults --minutes 0.01 --images 40", marks=pytest.mark.full),
        pytest.param("finish --shards 3 --samples 2", marks=pytest.mark.full),
        "fuzz --minutes 0.02",
        pytest.param("join --images 12", marks=pytest.mark.full),
        "loader --samples 64",
        "phrases --captions 50",
        pytest.param("recipes --scenes 60 --unseen 20 --steps 2 --seeds 1", marks=pytest.mark.full),
        "real_text --captions tests/phrases/real.jsonl",
        "regions --scenes 2",
        pytest.param("report_size --samples 2000", marks=pytest.mark.full),
        pytest.param("resume --images 200 --built 40", marks=pytest.mark.full),
        pytest.param("scale --images 20 40", marks=pytest.mark.full),
        pytest.param("store --images 20 40", marks=pytest.mark.full),
        pytest.param("saturation --images 40", marks=pytest.mark.full),
        pytest.param("shard_reads --samples 40", marks=pytest.mark.full),
        pytest.param(
            "stages --scenes 64 --regions 64 --unseen 32 --steps 1 1 --seeds 1",
            marks=pytest.mark.full,
        ),
    ],
)
def test_a_benchmark_prints_figures_and_goals(command: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *f"bench.{command}".split()],
        cwd=ROOT,
        env={**os.environ, "BENCH_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    assert done.returncode in (0, 1), done.stderr[-2000:]  # so little input may miss a goal
    assert re.search(r"[0-9.]+.* \(goal ", done.stdout), done.stdout[-2000:]
