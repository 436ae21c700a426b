"""The command: exit codes, one line for what is wrong, and nothing heavy imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from finehard import __version__
from finehard.cli import main


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"finehard {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "required"),
        (["bake"], "bake"),
        (["build", "--config", "demo"], "--input"),
        (["build", "--config", "nowhere.yaml", "--input", "x", "--output", "y"], "no config"),
        (["validate", "nowhere"], "nowhere"),
        (["evaluate"], "evaluate what?"),
        (["serve", "--config", "cluster"], "has no server section"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("finehard: ")
    assert says in line


def test_importing_finehard_and_its_command_loads_nothing_heavy() -> None:
    heavy = "torch transformers ultralytics vllm apache_beam spacy"
    code = f"import sys, finehard.cli; print(*[m for m in '{heavy}'.split() if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
