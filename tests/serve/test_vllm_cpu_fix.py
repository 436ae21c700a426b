"""The fix for vLLM's CPU environment, installed into a real (empty) virtual environment."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from finehard.errors import UsageError
from finehard.serve.vllm_cpu_env import install, main


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    venv.create(tmp_path / "venv", symlinks=True)
    return tmp_path / "venv"


def run(environment: Path, code: str) -> subprocess.CompletedProcess[str]:
    python = environment / "bin" / "python"
    return subprocess.run([python, "-c", code], capture_output=True, text=True)


def packages(environment: Path) -> Path:
    return next(environment.glob("lib/python3.*/site-packages"))


def test_second_install_changes_nothing(environment):
    assert len(install(environment)) == 2
    assert install(environment) == []


def test_start_of_python_imports_no_torch(environment):
    install(environment)
    code = (
        "import sys; assert 'finehard_vllm_cpu_fix' in sys.modules; print('torch' in sys.modules)"
    )
    assert run(environment, code).stdout == "False\n"


def test_torchcodec_that_does_not_load_looks_like_a_missing_package(environment):
    folder = packages(environment) / "torchcodec"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise OSError('libnvrtc.so.13: cannot open')")
    assert "OSError" in run(environment, "import torchcodec").stderr
    install(environment)
    result = run(environment, "try: import torchcodec\nexcept ImportError as e: print(e)")
    assert "libnvrtc.so.13" in result.stdout


def test_operators_are_declared_before_torchvision_runs_and_not_by_asking_for_it(environment):
    """A stand-in torch that records the declarations; the real pair is in `.venv-vllm` only."""
    install(environment)
    site = packages(environment)
    for name in ("torch", "torchvision"):
        (site / name).mkdir()
    (site / "torch" / "__init__.py").write_text(
        "declared = []\n"
        "class Library:\n"
        "    def __init__(self, *names): pass\n"
        "    def define(self, schema): declared.append(schema.split('(')[0])\n"
        "class library: Library = Library\n"
    )
    (site / "torchvision" / "__init__.py").write_text("import torch; print(torch.declared)")
    code = (
        "import importlib.util, sys; importlib.util.find_spec('torchvision')\n"
        "assert 'torch' not in sys.modules; import torchvision"
    )
    result = run(environment, code)
    assert result.stdout == "['nms', 'qnms']\n", result.stderr


def test_folder_that_is_no_environment_is_told(tmp_path, capsys):
    with pytest.raises(UsageError, match="not a virtual environment"):
        install(tmp_path)
    assert main([str(tmp_path)]) == 2
    assert "not a virtual environment" in capsys.readouterr().err


def test_fix_needs_only_the_standard_library():
    from finehard.serve import vllm_cpu_fix

    result = subprocess.run([sys.executable, "-I", "-S", vllm_cpu_fix.__file__])
    assert result.returncode == 0
