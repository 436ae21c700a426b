"""The files in deploy/ fit the code: their configs are read, their commands and versions exist.

They are not executed here: there is no Slurm, no Kubernetes and no Docker.
"""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import yaml

from finehard.cli.main import _parser
from finehard.config import load_config, parse_config

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text("utf-8")))


def test_the_slurm_script_writes_a_config_with_every_node_in_it() -> None:
    script = (DEPLOY / "slurm" / "build.sbatch").read_text("utf-8")
    start = script.index("endpoints=")
    end = script.index("\nYAML\n") + len("\nYAML\n")
    stubs = (
        'MODEL=m; SLURM_JOB_NODELIST=x; config=/dev/stdout; scontrol() { printf "n1\\nn2\\n"; }\n'
    )
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", stubs + script[start:end]],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    config = parse_config(yaml.safe_load(done.stdout), "build.sbatch")
    assert config.models["lmm"].endpoints == ("http://n1:8000/v1", "http://n2:8000/v1")
    subprocess.run(["bash", "-n", DEPLOY / "slurm" / "build.sbatch"], check=True)


def test_the_job_on_kubernetes_gives_the_commands_own_arguments() -> None:
    [job] = documents("build.yaml")
    container = job["spec"]["template"]["spec"]["containers"][0]
    program, *arguments = container["command"]
    assert program == "finehard"
    chosen = _parser().parse_args(arguments)
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    for path in (chosen.config, chosen.input, chosen.output):
        assert any(path.startswith(mount + "/") for mount in mounts)


def test_the_servers_on_kubernetes_are_those_of_the_cluster_config() -> None:
    service, servers = documents("vllm.yaml")
    name, port = servers["metadata"]["name"], service["spec"]["ports"][0]["port"]
    names = [
        f"{name}-{n}.{service['metadata']['name']}" for n in range(servers["spec"]["replicas"])
    ]
    served = load_config("cluster").models["lmm"]
    assert served.endpoints == tuple(f"http://{host}:{port}/v1" for host in names)
    assert served.model in servers["spec"]["template"]["spec"]["containers"][0]["args"]


def test_the_image_has_the_beam_that_was_tested_and_extras_that_exist() -> None:
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    [beam] = re.findall(r"apache/beam_python[0-9.]+_sdk:([0-9.]+)", text)
    assert f"apache-beam=={beam}" in (ROOT / "constraints.txt").read_text("utf-8")
    known = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = re.findall(r"EXTRAS=([a-z,]+)", text)
    assert len(extras) == 2 and '".[$EXTRAS]"' in text
    assert set(",".join(extras).split(",")) <= known["optional-dependencies"].keys()
