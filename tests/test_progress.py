"""The progress of long commands, and what is checked before anything slow is imported."""

import io
import subprocess
import sys

import pytest

from finehard.console import display
from finehard.console.display import TimeLeft
from finehard.console.training import TrainingProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """A list of one number, the time in seconds."""
    now = [100.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    return now


def test_training_shows_step_loss_speed_and_time_left(clock):
    progress = TrainingProgress(20, 100, io.StringIO())
    assert progress.line() == "step 20/100, ? left"
    for _ in range(10):
        progress.advance()
        clock[0] += 2.0
    progress.log({"loss": 3.21987, "images_per_s": 1234.5})
    progress.advance()
    assert progress.line() == "step 31/100, loss 3.2199, 1234 images/s, 0:02:18 left"


def test_without_a_terminal_a_line_comes_now_and_then(clock):
    stream = io.StringIO()
    with TrainingProgress(0, 1000, stream) as progress:
        for _ in range(100):
            clock[0] += 1.0
            progress.advance()
        progress.print("finehard: a [long] line: " + "x" * 200)
    lines = stream.getvalue().splitlines()
    assert [line.split(",")[0] for line in lines[:3]] == [
        "step 30/1000", "step 60/1000", "step 90/1000",
    ]  # fmt: skip
    assert lines[3] == "finehard: a [long] line: " + "x" * 200 and len(lines) == 4


def test_on_a_terminal_the_progress_is_live_and_removed():
    stream = Terminal()
    with TrainingProgress(0, 2, stream) as progress:
        progress.advance()
        progress.print("stays")
    assert "step 1/2, ? left" in stream.getvalue() and "stays\n" in stream.getvalue()
    assert stream.getvalue().endswith("\x1b[?25h\r\x1b[1A\x1b[2K")  # the cursor is shown again


def test_time_left_goes_by_the_rate_after_the_first_item(clock):
    left = TimeLeft()
    assert left.estimate(0, 10) == "?"
    clock[0] += 1000  # start-up
    assert left.estimate(1, 9) == "?"
    clock[0] += 10
    assert left.estimate(6, 7200) == "4:00:00"
    assert TimeLeft().estimate(0, 0) == "0:00:00"


WRONG = {
    "help": (["--help"], 0, "usage: finehard train"),
    "missing": (["--data", "a"], 2, "the following arguments are required: --output"),
    "key": (["--data", "a", "--output", "b", "--set", "run.worker=3"], 2, "did you mean workers?"),
    "value": (["--data", "a", "--output", "b", "--set", "optimizer.ema=1"], 2, "optimizer.ema: "),
    "file": (["--data", "a", "--output", "b", "--config", "c.yaml"], 2, "no config 'c.yaml'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_train_checks_arguments_before_it_imports_torch(case):
    arguments, code, words = WRONG[case]
    program = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from finehard.cli.main import main\n"
        f"sys.exit(main(['train', *{arguments!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == code and words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
