import os
import subprocess
import sys

import pytest

SLOW_FIRST_PROCESS = """
import functools, sys, time
from datetime import timedelta
import torch, torch.distributed as dist
dist.init_process_group = functools.partial(dist.init_process_group, timeout=timedelta(seconds=3))
from finehard.fgclip import distributed
distributed.init()
group = distributed.patient_group()
if distributed.rank() == 0:
    time.sleep(6)
if "wait" in sys.argv:
    distributed.wait_for_all(group)
assert distributed.all_sum(torch.ones(1)).item() == 2
distributed.shutdown()
"""


@pytest.mark.slow
@pytest.mark.parametrize("wait", [True, False])
def test_processes_wait_longer_than_the_collective_timeout(tmp_path, wait):
    """As while the first process evaluates; without waiting, the next collective fails."""
    (tmp_path / "run.py").write_text(SLOW_FIRST_PROCESS)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node=2", str(tmp_path / "run.py"), *["wait"] * wait]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode == 0) == wait, done.stderr[-2000:]
