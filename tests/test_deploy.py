"""The files in deploy/ match the code: valid configs, commands and versions.

They are not executed.
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


def test_slurm_config_lists_every_node() -> None:
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


def test_kubernetes_job_has_valid_arguments() -> None:
    [job] = documents("build.yaml")
    container = job["spec"]["template"]["spec"]["containers"][0]
    program, *arguments = container["command"]
    assert program == "finehard"
    chosen = _parser().parse_args(arguments)
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    for path in (chosen.config, chosen.input, chosen.output):
        assert any(path.startswith(mount + "/") for mount in mounts)


def test_kubernetes_pods_join_with_valid_arguments() -> None:
    [job] = documents("join.yaml")
    assert job["spec"]["completionMode"] == "Indexed"
    program, *arguments = job["spec"]["template"]["spec"]["containers"][0]["command"]
    chosen = _parser().parse_args(arguments)
    assert program == "finehard" and chosen.join
    assert load_config(chosen.config, chosen.set).server


def test_kubernetes_servers_match_the_cluster_config() -> None:
    service, servers = documents("vllm.yaml")
    name, port = servers["metadata"]["name"], service["spec"]["ports"][0]["port"]
    names = [
        f"{name}-{n}.{service['metadata']['name']}" for n in range(servers["spec"]["replicas"])
    ]
    served = load_config("cluster").models["lmm"]
    assert served.endpoints == tuple(f"http://{host}:{port}/v1" for host in names)
    assert served.model in servers["spec"]["template"]["spec"]["containers"][0]["args"]


def test_image_has_the_tested_beam_and_known_extras() -> None:
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    [beam] = re.findall(r"apache/beam_python[0-9.]+_sdk:([0-9.]+)", text)
    assert f"apache-beam=={beam}" in (ROOT / "constraints.txt").read_text("utf-8")
    known = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = re.findall(r"EXTRAS=([a-z,]+)", text)
    assert len(extras) == 2 and '".[$EXTRAS]"' in text
    assert set(",".join(extras).split(",")) <= known["optional-dependencies"].keys()
