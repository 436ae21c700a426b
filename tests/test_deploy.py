"""The files in deploy/ match the code: valid configs, commands and versions.

They are not executed; tests/test_slurm.py runs those for Slurm, tests/engines/test_image.py the
Dockerfile.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from finehard.cli.main import _parser
from finehard.config import load_config
from finehard.serve import ServeConfig
from tests.engines.dockerfile import copied, instructions

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text("utf-8")))


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


def test_kubernetes_detector_is_where_a_build_finds_it() -> None:
    service, detector = documents("detector.yaml")
    [container] = detector["spec"]["template"]["spec"]["containers"]
    program, *arguments = container["command"]
    chosen = _parser().parse_args(arguments)
    assert program == "finehard" and chosen.host == "0.0.0.0"
    assert service["spec"]["clusterIP"] == "None"
    assert chosen.port == service["spec"]["ports"][0]["port"]
    endpoint = f"dns+http://{service['metadata']['name']}:{chosen.port}"
    assert endpoint in (ROOT / "docs" / "cluster.md").read_text("utf-8")
    load_config("cluster", [f"detect.endpoints=[{endpoint}]"])


def test_kubernetes_servers_match_the_cluster_config() -> None:
    service, _, servers = documents("vllm.yaml")
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


def test_image_is_the_one_that_the_dataflow_config_speaks_of() -> None:
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    config = load_config("dataflow")
    assert config.dataflow is not None and config.server is not None
    assert f"apache/beam_python{config.dataflow.python}_sdk:" in text
    assert f"> {config.server.engine.python} " in text
    for name in re.findall(r"CONFIG=([a-z-]+)", text):
        load_config(name)
    model = config.server.engine.model
    assert f"MODEL={model} " in text


def test_image_gets_what_the_wheel_is_made_of_and_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    folders = {*wheel["packages"], *wheel["force-include"]}
    files = {project["project"]["readme"], "LICENSE", "pyproject.toml", "constraints.txt"}
    given = copied(ROOT)
    assert {file.split("/")[0] for file in given} == folders | files
    assert not any(file.startswith(tuple(wheel["exclude"])) for file in given)
    # before the sources, their dependencies: from these files, and folders without content
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    steps = [f"{name} {words}" for name, words in instructions(text)]
    [first, last] = [at for at, step in enumerate(steps) if re.match(r"COPY [^-]", step)]
    assert set(steps[first].split()) == {"COPY", *files, "./"} and steps[last] == "COPY . ."
    [made] = [step for step in steps[first:last] if step.startswith("RUN mkdir")]
    assert set(made.split("&&")[0].split()) == {"RUN", "mkdir", *folders}


def test_all_files_name_one_version_of_vllm() -> None:
    [image] = re.findall(r"FROM vllm/vllm-openai:v([0-9.]+)", (DEPLOY / "Dockerfile").read_text())
    servers = documents("vllm.yaml")[-1]["spec"]["template"]["spec"]["containers"][0]
    assert servers["image"] == f"vllm/vllm-openai:v{image}"
    assert f"vllm=={image}" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("name", sorted(p.name for p in (DEPLOY / "kubernetes").glob("*.yaml")))
def test_kubernetes_pods_say_what_they_need(name: str) -> None:
    for document in documents(name):
        if "template" not in document["spec"]:
            continue
        pod = document["spec"]["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] >= 30
        assert [each["key"] for each in pod["tolerations"]] == ["nvidia.com/gpu"]
        [container] = pod["containers"]
        requests, limits = container["resources"]["requests"], container["resources"]["limits"]
        assert {"cpu", "memory"} <= requests.keys() and {
            "memory",
            "nvidia.com/gpu",
        } <= limits.keys()
        claims = document["spec"].get("volumeClaimTemplates", [])
        volumes = {volume.get("name") or volume["metadata"]["name"]
                   for volume in (*pod["volumes"], *claims)}  # fmt: skip
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_kubernetes_servers_keep_weights_and_have_time_to_start() -> None:
    _, budget, servers = documents("vllm.yaml")
    assert budget["kind"] == "PodDisruptionBudget"
    labels = servers["spec"]["template"]["metadata"]["labels"]
    assert budget["spec"]["selector"]["matchLabels"] == labels
    [container] = servers["spec"]["template"]["spec"]["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    environment = {each["name"]: each.get("value") for each in container["env"]}
    assert mounts == {"models": environment["HF_HOME"], "shm": "/dev/shm"}
    probe = container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= ServeConfig.startup_timeout_s


@pytest.mark.parametrize("version", ["1.29", "1.33", "1.37"])
def test_kubernetes_accepts_the_files(version: str) -> None:
    validator = pytest.importorskip("kubernetes_validate")
    for path in (DEPLOY / "kubernetes").glob("*.yaml"):
        for document in documents(path.name):
            validator.validate(document, version, strict=True)


GIB = 2**30
L4 = 22.0 * GIB
"""What a process sees of its 24 GB."""
WEIGHTS = {"Qwen/Qwen3-VL-8B-Instruct": 17.5e9, "Qwen/Qwen3-VL-8B-Instruct-FP8": 10.6e9}
"""Bytes: of 8.77 billion parameters, 6.95 in linear layers, which alone have 8 bits in FP8."""
TOKEN = 36 * 8 * 128 * 2 * 2
"""Bytes of a token's keys and values: layers, heads, their size, two of them, 16 bits."""
WORKING = 2 * GIB
"""For activations and CUDA graphs, about."""


def room(engine: ServeConfig, model: str, gpu: float) -> tuple[float, int]:
    """How many tokens of `model` vLLM has room for on a GPU, and the longest that it may take."""
    share = float(engine.args[engine.args.index("--gpu-memory-utilization") + 1])
    longest = int(engine.args[engine.args.index("--max-model-len") + 1])
    return (share * gpu - WEIGHTS[model] - WORKING) / TOKEN, longest


def test_the_longest_context_fits_the_gpu_of_its_config() -> None:
    dataflow, node = load_config("dataflow"), load_config("gpu-node")
    assert dataflow.dataflow is not None and dataflow.dataflow.accelerator == "nvidia-l4"
    assert dataflow.server is not None and node.server is not None
    tokens, longest = room(dataflow.server.engine, dataflow.server.engine.model, L4)
    assert tokens >= 2 * longest
    tokens, _ = room(dataflow.server.engine, "Qwen/Qwen3-VL-8B-Instruct", L4)
    assert tokens < 0  # 16 bits do not
    tokens, longest = room(node.server.engine, node.server.engine.model, 39 * GIB)
    assert tokens >= 2 * longest
