"""Real engines (transformers, vLLM) on the CPU, with a tiny model of random weights."""

import base64
import io
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from finehard.serve import ServeConfig, Server, ensure_server
from finehard.serve.engines import find_vllm_python
from tests.serve.processes import (
    chat,
    living,
    mentioning,
    say_again,
    start_client,
    state_of,
    wait_for,
)
from tests.tiny_vlm import build_tiny_vlm

pytestmark = pytest.mark.slow
ENGINES = ["transformers", pytest.param("vllm", marks=pytest.mark.full)]

VLLM_ARGS = ("--max-model-len", "1024", "--enforce-eager", "--limit-mm-per-prompt", '{"image": 3}')


def vllm_imports() -> str:
    """Returns why vLLM cannot be used here; "" if it can."""
    vllm = find_vllm_python()
    if vllm is None:
        return "no vLLM in this environment, and none in .venv-vllm"
    # Imports all of it, as its server does: an installed wheel may fail to load.
    result = subprocess.run(
        [vllm[0], "-c", "import torchvision, vllm"], capture_output=True, text=True
    )
    return result.stderr.strip().rpartition("\n")[2] if result.returncode else ""


@pytest.fixture(scope="session")
def tiny_vlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_vlm(tmp_path_factory.mktemp("model") / "tiny-vlm")


@pytest.fixture
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    if request.param == "vllm" and (reason := vllm_imports()):
        pytest.skip(f"vLLM: {reason}")
    return request.param


def config_of(engine: str, model: Path) -> ServeConfig:
    args = VLLM_ARGS if engine == "vllm" else ()
    return ServeConfig(engine=engine, model=str(model), args=args, linger_s=0)


def picture(color: str) -> dict:
    file = io.BytesIO()
    Image.new("RGB", (96, 64), color).save(file, "JPEG")
    url = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": url}}


def text(words: str) -> dict:
    return {"type": "text", "text": words}


def content_of(reply: dict) -> str:
    assert reply["usage"]["completion_tokens"] > 0
    return reply["choices"][0]["message"]["content"]


def check_image_chat(server: Server) -> None:
    def ask(*colors: str, **fields: object) -> dict:
        content = [*map(picture, colors), text("describe the image")]
        return chat(server.base_url, server.model, content, **fields)

    one, two = ask("red"), ask("red", "blue", max_tokens=4, seed=1)
    assert content_of(one) == content_of(ask("red"))  # temperature 0
    assert two["usage"]["completion_tokens"] == 4
    assert two["usage"]["prompt_tokens"] > one["usage"]["prompt_tokens"]


def check_json_schema(server: Server) -> None:
    schema = {
        "type": "object",
        "properties": {
            "verified": {"type": "boolean"},
            "color": {"type": "string", "maxLength": 12},
        },
        "required": ["verified", "color"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}}
    content = [picture("red"), text("return JSON")]
    reply = chat(server.base_url, server.model, content, max_tokens=100, response_format=wanted)
    assert reply["choices"][0]["finish_reason"] == "stop"
    # xgrammar lets control characters into strings that have a maxLength; JSON forbids them.
    value = json.loads(content_of(reply), strict=False)
    assert isinstance(value["verified"], bool) and len(value["color"]) <= 12


def kill_one_of(group: int) -> None:
    """Kills the engine's main process, the child of the process guard."""
    [engine, *_] = sorted(pid for pid in living(group) if pid != group)
    os.kill(engine, signal.SIGKILL)


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
def test_real_engine_restarts_and_leaves_no_processes(engine, tiny_vlm, tmp_path):
    config = config_of(engine, tiny_vlm)
    with ensure_server(config) as server:
        print(server.log.read_text().splitlines()[-1])
        assert server.engine == engine and server.model_id == "tiny-vlm"
        check_image_chat(server)
        if engine == "vllm":
            check_json_schema(server)

        state = state_of(server)
        kill_one_of(state["engine_groups"][0])
        wait_for(lambda: state_of(server)["restarts"] == 1)
        assert living(state["engine_groups"][0]) == []
        say_again(server)
        assert state_of(server)["base_urls"] == state["base_urls"]

        # A second client joins; then one closes and the other is killed.
        fields = f"engine={engine!r}, model={str(tiny_vlm)!r}, args={config.args!r}, linger_s=0"
        client = start_client(f"ServeConfig({fields})")
        assert client.stdout is not None
        assert client.stdout.readline().strip() == server.base_url
        server.close()
        client.kill()
        client.wait()
    wait_for(lambda: not mentioning(f"TMPDIR={tmp_path}"), 30)


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
def test_real_engine_dies_with_its_supervisor(engine, tiny_vlm, tmp_path):
    with ensure_server(config_of(engine, tiny_vlm)) as server:
        pid = int(state_of(server)["supervisor"].partition("@")[0])
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not mentioning(f"TMPDIR={tmp_path}"), 20)
