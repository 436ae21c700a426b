"""A model server that the workers start themselves (`server.where: worker`), as on Dataflow."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.pipelines.world import build, images, manifest


@pytest.mark.slow
def test_two_workers_share_one_server_that_ends_with_them(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    serve = (
        f"echo start >> {starts}; sleep 100000 | "  # it reads its input to the end, then ends
        f"{sys.executable} -m bench.simulated_server --least-s 0 --most-s 0 --port {{port}}"
    )
    engine = {"engine": "command", "model": "simulated", "command": ["sh", "-c", serve]}
    values = {
        "models": {"lmm": {"window": 8}, "llm": {"window": 8}},
        "server": {"where": "worker", "engine": {**engine, "linger_s": 0}},
        "detect": {"backend": "bench.fixed_detector:load"},
        "source": {"unit_size": 8},
    }
    settings = tmp_path / "config.yaml"
    settings.write_text(json.dumps(values))
    source = images(tmp_path / "in", 40)
    done = build(settings, source, tmp_path / "out", "--direct_num_workers=2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "40 read = 40 written + 0 rejected" in done.stdout
    assert starts.read_text() == "start\n"
    assert manifest(tmp_path / "out")["stages"]["caption"]["model"].startswith("simulated")
    end = time.monotonic() + 30
    while _running(str(starts)) and time.monotonic() < end:
        time.sleep(0.2)
    assert not _running(str(starts))


def _running(word: str) -> list[int]:
    """Processes with `word` in their command line."""
    pids = []
    for process in psutil.process_iter(["cmdline"]):
        if word in " ".join(process.info["cmdline"] or ()):
            pids.append(process.pid)
    return pids
