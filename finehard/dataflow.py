"""A job on Dataflow: Beam's options for it, and what is missing before it can be submitted."""

from __future__ import annotations

import re
import sys
from typing import NamedTuple
from urllib.parse import urlsplit

from finehard.config import Config
from finehard.io import storage
from finehard.packages import installed
from finehard.settings.dataflow import DataflowConfig

_CLIENT = "google.cloud.dataflow_v1beta3"
"""What the runner talks to Dataflow with; apache-beam[gcp] brings it."""
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1", "0.0.0.0")


class Job(NamedTuple):
    """What a job reads and writes, and where it runs. An empty text is what was not given."""

    input: str
    output: str
    project: str
    region: str
    temp: str
    image: str


def beam_options(job: Job, machines: DataflowConfig) -> list[str]:
    """Returns Beam's options. Machines with GPUs are asked for by the steps that need them
    (`finehard.beam.gpu`), which excludes the service option `worker_accelerator`."""
    return [
        "--runner=DataflowRunner",
        f"--project={job.project}",
        f"--region={job.region}",
        f"--temp_location={job.temp}",
        f"--sdk_container_image={job.image}",
        "--sdk_location=container",  # nothing is installed when a worker starts
        "--no_save_main_session",  # the command's own module is of no use to workers
        f"--worker_machine_type={machines.writer_machine_type}",
        f"--disk_size_gb={machines.disk_gb}",
        f"--max_num_workers={machines.workers}",
        "--experiments=no_use_multiple_sdk_containers",  # one process, one detector a machine
    ]


def missing(job: Job, config: Config, python: tuple[int, ...] = sys.version_info[:2]) -> list[str]:
    """Returns what keeps `job` from running, a line each; `python` is the version in use here."""
    machines = config.dataflow
    if machines is None:
        return ["the config has no dataflow section: take configs/dataflow.yaml as a pattern"]
    lines = []
    if not installed(_CLIENT):
        lines.append("apache-beam[gcp] is not installed: pip install 'finehard[gcp]'")
    for name in ("project", "region", "temp", "image"):
        if not getattr(job, name):
            lines.append(f"no {name}: --{name}, or make {name.upper()}=...")
    if job.temp and not re.match("gs://[^/]", job.temp):
        lines.append(f"temp {job.temp} is not in Google Cloud Storage: gs://BUCKET/FOLDER")
    for name in ("input", "output"):
        uri = getattr(job, name)
        if not storage.is_remote(uri):
            lines.append(f"{name} {uri} is on this machine, where workers do not see it: gs://...")
    here = ".".join(map(str, python))
    if here != machines.python:
        lines.append(
            f"this is Python {here}, the image has {machines.python} (dataflow.python): use an "
            f"environment with python{machines.python} (make sets one up where there is no .venv)"
        )
    return lines + _unserved(config)


def _unserved(config: Config) -> list[str]:
    """Returns the models and detectors that workers would not reach, a line each."""
    lines = []
    for name, model in config.models.items():
        local = [url for url in model.endpoints if urlsplit(url).hostname in _THIS_MACHINE]
        if local:
            lines.append(f"models.{name}.endpoints: {local[0]} is another machine for each worker")
    here = [url for url in config.detect.endpoints if urlsplit(url).hostname in _THIS_MACHINE]
    if here:
        lines.append(f"detect.endpoints: {here[0]} is another machine for each worker")
    served_here = config.server is not None and config.server.where == "driver"
    if served_here and not all(model.endpoints for model in config.models.values()):
        lines.append("server.where: the server would run on this machine: worker")
    return lines
