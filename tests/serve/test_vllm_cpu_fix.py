"""The fix for vLLM's CPU build, installed into a real (empty) virtual environment."""

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


def test_starting_python_does_not_import_torch(environment):
    install(environment)
    code = (
        "import sys; assert 'finehard_vllm_cpu_fix' in sys.modules; print('torch' in sys.modules)"
    )
    assert run(environment, code).stdout == "False\n"


def test_unloadable_torchcodec_raises_import_error(environment):
    folder = packages(environment) / "torchcodec"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise OSError('libnvrtc.so.13: cannot open')")
    assert "OSError" in run(environment, "import torchcodec").stderr
    install(environment)
    result = run(environment, "try: import torchcodec\nexcept ImportError as e: print(e)")
    assert "libnvrtc.so.13" in result.stdout


def test_operators_are_declared_only_when_torchvision_runs(environment):
    """Uses a fake torch that records the declarations."""
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


def test_folder_without_an_environment_is_an_error(tmp_path, capsys):
    with pytest.raises(UsageError, match="not a virtual environment"):
        install(tmp_path)
    assert main([str(tmp_path)]) == 2
    assert "not a virtual environment" in capsys.readouterr().err


def test_fix_imports_only_the_standard_library():
    from finehard.serve import vllm_cpu_fix

    result = subprocess.run([sys.executable, "-I", "-S", vllm_cpu_fix.__file__])
    assert result.returncode == 0
