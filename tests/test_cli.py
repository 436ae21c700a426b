"""The command: exit codes, errors in one line, light imports."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from finehard import __version__
from finehard.cli import main
from finehard.console import display, progress
from finehard.io import storage


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
        (["evaluate", "data", "somewhere"], "--truth"),
        (["evaluate", "model"], "--model"),
        (["train"], "--data"),
        (["audit", __file__], "not a dataset folder, and neither FG-OVD"),
        (
            ["plan", "--config", "demo", "--input", ".", "--", "--runner", "X"],
            "runner X: Unexpected",
        ),
        (
            ["build", "--config", "cluster", "--input", ".", "--output", "x", "--detach"],
            "--detach: the build would end with this command",
        ),
        (
            [
                "build",
                "--config",
                "demo",
                "--input",
                ".",
                "--output",
                "x",
                "--detach",
                "--",
                "--runner=PortableRunner",
                "--job_endpoint=localhost:1",
            ],
            "--detach: the config's model server would end",
        ),
        (
            ["build", "--config", "demo", "--input", ".", "--output", "x", "--detach", "--join"],
            "a process that joins has none",
        ),
        (["serve", "--config", "cluster"], "has no server section"),
        (["plan", "--input", ".", "--config", "demo", "--limit", "0"], "limit 0: give a number"),
        (["plan", "--input", ".", "--config", "demo", "--limit", "x"], "--limit"),
        (["demo", "--scenes", "0"], "--scenes 0: give at least 1"),
        (["demo", "--seed", "-1"], "--seed -1: give at least 0"),
        (["demo", "--output", "s3://b/x"], "give a local folder"),
        (["demo", "--output", __file__], "is a file, not a folder"),
        (["demo", "--set", "detect.scoer=1"], "did you mean score?"),
    ],
)
def test_wrong_arguments_exit_2_with_one_line(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("finehard: ")
    assert says in line


def test_write_error_names_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file" / "x.bin"
    path.parent.write_text("no folder")
    with pytest.raises(OSError) as caught:
        storage.write(str(path), b"x")
    assert str(tmp_path / "file") in str(caught.value) and ".tmp" not in str(caught.value)


def test_default_config_is_the_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "one.png")
    assert main(["plan", "--input", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert "no --config: the demo's" in printed.err
    assert "1 images in 1 files" in printed.out
    assert " vlm " in printed.out and " detector " in printed.out


def test_import_is_light() -> None:
    heavy = "torch transformers ultralytics vllm apache_beam spacy"
    code = f"import sys, finehard.cli; print(*[m for m in '{heavy}'.split() if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_time_left_begins_anew_with_the_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: clock[0])
    shown = progress.ProgressDisplay(io.StringIO())
    left = []
    for clock[0], done in ((0.0, 10), (10.0, 40), (20.0, 0), (30.0, 20), (40.0, 60)):
        counts = {"images": 100, "done": done, "rejected": 0, "stages": {}}
        left.append(shown.line(counts).split(", ")[-1])
    assert left == ["? left | ", "0:00:20 left | ", "? left | ", "? left | ", "0:00:10 left | "]
