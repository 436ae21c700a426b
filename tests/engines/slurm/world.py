"""What the tests of the Slurm scripts share: an input, its single build, and jobs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from bench.kills import sums
from tests.engines.slurm.cluster import ROOT, Cluster, wait_for
from tests.pipelines.world import Server, images

SCRIPTS = ROOT / "deploy" / "slurm"
FINEHARD = str(Path(sys.executable).parent / "finehard")
SAMPLES = 120
ALL = f"{SAMPLES} read = {SAMPLES} written"
"""What a build prints that has written the dataset."""
OPTIONS = (
    "--set", "detect.backend=bench.fixed_detector:load", "--set", "source.unit_size=8",
    "--set", "shards.samples_per_shard=30",
)  # fmt: skip
"""Of finehard, as they come after the scripts' INPUT and OUTPUT."""

ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")


class Single(NamedTuple):
    """An input, and its build by one process: the files' SHA-256, and the questions asked.

    Not among these are those about pictures of finehard's own, which try each server first.
    """

    source: Path
    sums: dict[str, str]
    questions: set[str]


def single_build(folder: Path) -> Single:
    """Makes an input in `folder`, and builds it."""
    source, output = images(folder / "in", SAMPLES), folder / "single"
    server = Server(folder / "asked")
    common = ["--config", "cluster", "--input", str(source), *OPTIONS]
    for model in ("lmm", "llm"):
        common += ["--set", f"models.{model}.model=simulated"]
        common += ["--set", f"models.{model}.endpoints=[{server.url}]"]

    def asked(*command: str) -> set[str]:
        server.log.write_text("")
        done = subprocess.run(
            [FINEHARD, *command, *common], cwd=ROOT, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return {question for _, _, question in server.answered()}

    try:
        tried = asked("plan", "--ask")
        questions = asked("build", "--output", str(output)) - tried
        return Single(source, sums(output), questions)
    finally:
        server.close()


class Answered(NamedTuple):
    """An answer: when, the job and the node of its server, and the question."""

    at: float
    job: str
    node: str
    question: str


class Runs:
    """The jobs of a test that build `single` anew, with simulated servers in vLLM's place.

    `folder` has what the servers answered, and what the jobs printed.
    """

    def __init__(self, cluster: Cluster, folder: Path, single: Single) -> None:
        self.cluster, self.single, self._folder = cluster, single, folder
        (folder / "asked").mkdir()
        self._python = folder / "vllm-python"
        module = "tests.engines.slurm.vllm"
        self._python.write_text(f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n')
        self._python.chmod(0o755)

    def submit(self, script: Path, output: Path, *options: str, **environment: str) -> str:
        """Submits `script` with sbatch's `options` and an `environment`; the job's number."""
        given = {
            "FINEHARD": FINEHARD, "VLLM_PYTHON": str(self._python), "MODEL": "simulated",
            "PYTHONPATH": str(ROOT), "FINEHARD_ASKED": str(self._folder / "asked"), **environment,
        }  # fmt: skip
        log = f"--output={self._folder}/%j.log"
        words = (script, self.single.source, output, *OPTIONS)
        return self.cluster.submit(log, *options, *words, **given)

    def printed(self, job: str) -> str:
        """What a job printed; a task of an array by the number of its own."""
        return (self._folder / f"{job}.log").read_text()

    def nodes(self, job: str) -> list[str]:
        """The nodes of a job that runs, the one with its script first."""
        [task] = self.cluster.tasks(job)
        return self.cluster.ask("scontrol", "show", "hostnames", task["NodeList"]).split()

    def answers(self) -> list[Answered]:
        """All answers so far, in their order."""
        found = []
        for file in (self._folder / "asked").iterdir():
            job, node, _ = file.name.split(".")
            for line in file.read_text().splitlines():
                at, _, question = line.split()
                found.append(Answered(float(at), job, node, question))
        return sorted(found)

    def until_answered(self, share: float, *jobs: str) -> None:
        """Waits until that share of the questions is answered; fails if one of `jobs` ends."""

        def enough() -> bool:
            for job in jobs:
                for task in self.cluster.tasks(job):
                    assert task["JobState"] not in ENDED, f"{task}: {self.printed(task['JobId'])}"
            return len(self.answers()) >= share * len(self.single.questions)

        wait_for(enough, 240, f"{share:.0%} of the questions answered")

    def until_ended(self, *jobs: str) -> list[dict[str, str]]:
        """Waits for the end of `jobs`; what Slurm says of each task."""
        tasks: list[dict[str, str]] = []

        def ended() -> bool:
            tasks[:] = [task for job in jobs for task in self.cluster.tasks(job)]
            return all(task["JobState"] in ENDED for task in tasks)

        wait_for(ended, 300, "the end of all jobs")
        return tasks

    def until_done(self, *jobs: str) -> list[dict[str, str]]:
        """As `until_ended`; fails if a task did."""
        tasks = self.until_ended(*jobs)
        for task in tasks:
            done = (task["JobState"], task["ExitCode"]) == ("COMPLETED", "0:0")
            assert done, f"{task}: {self.printed(task['JobId'])}"
        return tasks

    def twice(self) -> list[Answered]:
        """The first answers to questions that were asked again, but for trying each server."""
        asked = Counter(answer.question for answer in self.answers())
        first = {answer.question: answer for answer in reversed(self.answers())}
        return [
            first[question]
            for question, times in asked.items()
            if times > 1 and question in self.single.questions
        ]
