"""`finehard submit`: a build as a job on Google Cloud's Dataflow."""

from __future__ import annotations

import argparse
import shlex

from finehard.console.arguments import Parser
from finehard.errors import UsageError

TEXT = "build a dataset on Dataflow, on the machines of the config; more Beam options go after --"


def add_arguments(command: Parser) -> None:
    """Adds the arguments of the command beside those of a build."""
    for name, text in (
        ("project", "Google Cloud project"),
        ("region", "region with the GPUs, such as us-central1"),
        ("temp", "gs://BUCKET/FOLDER for Beam's temporary files"),
        ("image", "container image of the workers (deploy/Dockerfile)"),
    ):
        command.add_argument(f"--{name}", default="", help=text)
    command.add_argument(
        "--print", action="store_true", help="print the build's whole command, and start nothing"
    )


def run(chosen: argparse.Namespace) -> int:
    """Submits the job and waits for its end, or prints the command. Raises `UsageError`, with a
    line for each thing that is missing."""
    from finehard.cli.build import run_build
    from finehard.config import load_config
    from finehard.dataflow import Job, beam_options, missing

    config = load_config(chosen.config or "dataflow", chosen.set)
    job = Job(chosen.input, chosen.output, chosen.project, chosen.region, chosen.temp, chosen.image)
    lines = missing(job, config)
    if lines or config.dataflow is None:
        raise UsageError("\n  ".join(["nothing was submitted:", *lines]))
    beam = [*beam_options(job, config.dataflow), *chosen.beam]
    if chosen.print:
        print(shlex.join(_command(chosen, beam)))
        return 0
    run_build(
        config, chosen.input, chosen.output, chosen.pipeline, beam, chosen.limit,
        detach=chosen.detach,
    )  # fmt: skip
    return 0


def _command(chosen: argparse.Namespace, beam: list[str]) -> list[str]:
    """Returns the build that `chosen` stands for."""
    words = ["finehard", "build", "--config", chosen.config or "dataflow"]
    words += [word for setting in chosen.set for word in ("--set", setting)]
    words += ["--input", chosen.input, "--output", chosen.output]
    if chosen.pipeline:
        words += ["--pipeline", chosen.pipeline]
    if chosen.limit is not None:
        words += ["--limit", str(chosen.limit)]
    if chosen.detach:
        words += ["--detach"]
    return [*words, "--", *beam]
