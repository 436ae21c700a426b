"""The last step of a build may be run again at any time, as runners do that missed its end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finehard import building
from finehard.beam import write
from finehard.config import parse_config
from finehard.dataset import complete
from finehard.errors import FinehardError
from finehard.state import current_run
from tests.pipelines.world import Server, config, images

complete_once = write._complete
calls: list[tuple[Any, ...]] = []


def complete_twice(group: Any, build: Any, made_by: Any, read: int) -> None:
    calls.append(((None, list(group[1])), build, made_by, read))
    for _ in range(2):
        complete_once(*calls[-1])


class Killed(BaseException):
    """Ends the command between two of its steps."""


def files(output: Path) -> dict[str, tuple[bytes, int]]:
    """The bytes and times of the dataset's files, without the journal's and the report."""
    found = [p for p in output.rglob("*") if p.is_file() and "_journal" not in p.parts]
    return {
        str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in found if p.name != "report.html"
    }


def test_completion_repeated_at_any_time_damages_nothing(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = parse_config(json.loads(config(tmp_path, server.url).read_text()), "test")
    source, output = images(tmp_path / "in", 24), tmp_path / "out"

    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(write, "_complete", complete_twice)
        patched.setattr(building, "finish", killed)
        with pytest.raises(Killed):
            building.build(settings, str(source), str(output))
    whole, run = files(output), calls[-1][1].run
    complete_once(*calls[-1])
    complete.remove_side_files(str(output), run)
    complete_once(*calls[-1])
    assert files(output) == whole and len(whole) > 8

    asked = len(server.answered())
    built = building.build(settings, str(source), str(output))  # what the killed one left to do
    assert built.counts["stages"]["caption"]["requests"] == 24 and built.seconds > 0
    assert len(server.answered()) == asked and files(output) == whole
    with pytest.raises(FinehardError, match="it ends here"):
        complete_once(*calls[-1])
    assert files(output) == whole
    assert building.build(settings, str(source), str(output)).seconds == 0, "nothing is done"

    current_run.begin(str(output), "another")
    complete.begin(str(output))
    with pytest.raises(FinehardError, match="another build of .* has begun since"):
        complete_once(*calls[-1])
    assert not (output / "manifest.json").exists()
