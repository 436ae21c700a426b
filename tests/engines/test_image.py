"""deploy/Dockerfile, carried out over this machine's file system: its environments and a build.

Unlike docker's, the base image is a virtual environment with vLLM from the package index, Beam's
boot program is not copied, and the Hub is a stand-in with tiny models under the real names.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from finehard.config import load_config
from tests.engines.dockerfile import instructions
from tests.engines.image import Image, build
from tests.engines.models_hub import models_hub
from tests.pipelines.world import Server, images

pytestmark = [pytest.mark.slow, pytest.mark.full, pytest.mark.engines, pytest.mark.timeout(3600)]

ROOT = Path(__file__).parents[2]
BASE = "/usr/local/vllm"
PATH = f"{BASE}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
GIGABYTES = 35
"""Of disk that the build takes, downloads included."""
OFFLINE = {"HF_HUB_OFFLINE": "1"}
CONFIG = load_config("dataflow")


class Made(NamedTuple):
    """The image, and the instructions that were left out."""

    image: Image
    left_out: list[str]


def base_python() -> str:
    """The Python of this machine that the base image's is made of; also one of pyenv's."""
    name = f"python{CONFIG.dataflow.python}"
    pyenv = Path.home() / ".pyenv" / "versions"
    for found in (shutil.which(name), *sorted(map(str, pyenv.glob(f"*/bin/{name}")))):
        if found and subprocess.run([found, "-c", ""], capture_output=True).returncode == 0:
            return found
    pytest.skip(f"there is no {name}")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """The image that `docker build -f deploy/Dockerfile --build-arg MODEL=.. .` makes."""
    python = base_python()
    if os.geteuid() != 0:
        pytest.skip("mounts need root")
    if shutil.disk_usage("/var/tmp").free < GIGABYTES * 1e9:
        pytest.skip(f"/var/tmp needs {GIGABYTES} GB")
    pytest.importorskip("torch")
    from tests.detect import tiny_models

    detector, model = tmp_path_factory.mktemp("detector"), tmp_path_factory.mktemp("model")
    tiny_models.write_owl(detector)
    (model / "config.json").write_text("{}")
    models = {CONFIG.detect.model: detector, CONFIG.server.engine.model: model}
    with (
        tempfile.TemporaryDirectory(prefix="finehard-image-", dir="/var/tmp") as folder,
        models_hub(models) as hub,
    ):
        image = Image(Path(folder), {"PATH": PATH, "HF_ENDPOINT": hub})
        try:
            image.run("true")
        except (RuntimeError, OSError) as error:
            pytest.skip(f"no overlay over / can be mounted: {error}")
        _install_base(image, python)
        dockerfile = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
        left_out = build(image, dockerfile, ROOT, {"MODEL": CONFIG.server.engine.model})
        for path in (BASE, f"{image.cwd}/.venv", "/opt"):
            print(f"{image.gigabytes(path):7.1f} GB {path}")
        yield Made(image, left_out)


def _install_base(image: Image, python: str) -> None:
    """Installs vLLM as the Makefile does."""
    image.run(python, "-m", "venv", BASE)
    constraints = (ROOT / "constraints-vllm-gpu.txt").read_text("utf-8")
    (image.folder / "tmp" / "constraints.txt").write_text(constraints)
    [vllm] = {word for word in (ROOT / "Makefile").read_text().split() if word[:6] == "vllm=="}
    image.run("pip", "install", "-q", "--no-cache-dir", "-c", "/tmp/constraints.txt", vllm)


def test_only_beams_boot_program_is_not_carried_out(made: Made) -> None:
    [left_out] = made.left_out
    assert left_out.startswith("COPY --from=apache/beam_")
    assert left_out.endswith(" /opt/apache/beam")
    assert made.image.entrypoint == ["/opt/apache/beam/boot"]


@pytest.mark.parametrize("python", ["python", CONFIG.server.engine.python])
def test_an_environment_has_its_python_and_fitting_packages(made: Made, python: str) -> None:
    version = made.image.run(python, "-c", "import sys; print(*sys.version_info[:2], sep='.')")
    assert version.strip() == CONFIG.dataflow.python
    made.image.run(python, "-m", "pip", "check")


def test_vllm_is_the_base_images_and_has_what_starts_it(made: Made) -> None:
    """It is only imported: without a GPU vLLM does not even print its help."""
    code = "import vllm.entrypoints.openai.api_server, vllm; print(vllm.__version__)"
    told = made.image.run(CONFIG.server.engine.python, "-c", code)
    base = instructions((ROOT / "deploy" / "Dockerfile").read_text("utf-8"))[0]
    assert base.words == f"vllm/vllm-openai:v{told.split()[-1]}"


def test_the_weights_of_the_workers_model_are_there(made: Made) -> None:
    code = "import sys, huggingface_hub as hub; print(hub.snapshot_download(sys.argv[1]))"
    command = (CONFIG.server.engine.python, "-c", code, CONFIG.server.engine.model)
    assert made.image.run(*command, env=OFFLINE).startswith(made.image.env["HF_HOME"])


def test_beams_boot_program_would_find_the_harness(made: Made) -> None:
    """It runs `python` from PATH where RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT is set."""
    assert made.image.env["RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT"]
    code = "import apache_beam.runners.worker.sdk_worker_main, finehard;"
    code += "print(apache_beam.__version__, finehard.__file__, sep='\\n')"
    version, file = made.image.run("env", "--chdir=/", "python", "-c", code).split()
    assert f"_sdk:{version} " in made.left_out[0]
    assert file.startswith("/opt/finehard/.venv/lib/")


def test_the_image_builds_a_dataset_with_the_fetched_detector(made: Made, tmp_path: Path) -> None:
    server = Server(tmp_path / "answered.log")
    images(made.image.folder / "tmp" / "in", 12)
    model = json.dumps({"model": "simulated", "endpoints": [server.url]})
    settings = {
        "models.lmm": model, "models.llm": model, "server": "null",
        "detect.floor": 0, "detect.score": 0,
    }  # fmt: skip
    command = ["finehard", "build", "--config", "dataflow"]
    command += ["--input", "/tmp/in", "--output", "/tmp/out"]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    try:
        made.image.run(*command, env=OFFLINE)
        made.image.run("finehard", "validate", "/tmp/out")
    finally:
        server.close()
    manifest = json.loads((made.image.folder / "tmp" / "out" / "manifest.json").read_text())
    assert manifest["counts"]["written"] == 12
