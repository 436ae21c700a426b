"""What is sent costs a server with a large vocabulary next to nothing to decode by."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.pipelines.world import ROOT
from tests.servers.fetched import folder


@pytest.mark.slow
@pytest.mark.full
def test_reply_schemas_are_cheap_on_a_large_vocabulary() -> None:
    packages = folder("grammar", "xgrammar", "apache-tvm-ffi", "mistral-common")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{packages}"}
    command = [sys.executable, "-m", "bench.grammar"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
