"""The last steps of a build may be run again at any time, as runners do that missed their end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finehard import building
from finehard.beam import finish
from finehard.config import parse_config
from finehard.dataset import complete
from finehard.dataset.validate import validate
from finehard.errors import FinehardError
from finehard.state import current_run
from tests.pipelines.world import Server, config, images

merge_once, finish_once = finish._merge, finish._finish
merges: list[tuple[Any, ...]] = []
finishes: list[tuple[Any, ...]] = []


def merge_twice(group: Any, *rest: Any) -> Any:
    merges.append(((group[0], list(group[1])), *rest))
    merge_once(*merges[-1])
    return merge_once(*merges[-1])


def finish_twice(group: Any, *rest: Any) -> None:
    finishes.append(((None, list(group[1])), *rest))
    finish_once(*finishes[-1])
    finish_once(*finishes[-1])


def repeated() -> None:
    merge_once(*merges[-1])
    finish_once(*finishes[-1])


class Killed(BaseException):
    """Ends the command between two of its steps."""


def files(output: Path) -> dict[str, bytes]:
    """The bytes of the dataset's files, without the journal's and the report."""
    found = [p for p in output.rglob("*") if p.is_file() and "_journal" not in p.parts]
    return {str(p): p.read_bytes() for p in found if p.name != "report.html"}


def test_completion_repeated_at_any_time_damages_nothing(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = parse_config(json.loads(config(tmp_path, server.url).read_text()), "test")
    source, output = images(tmp_path / "in", 24), tmp_path / "out"

    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(finish, "_merge", merge_twice)
        patched.setattr(finish, "_finish", finish_twice)
        patched.setattr(building, "end_run", killed)
        with pytest.raises(Killed):
            building.build(settings, str(source), str(output))
    whole, run = files(output), merges[-1][2]
    repeated()
    assert files(output) == whole and len(whole) > 8
    asked, written = len(server.answered()), (output / "manifest.json").stat()

    built = building.build(settings, str(source), str(output))  # what the killed one left to do
    assert built.counts["stages"]["caption"]["requests"] == 24 and built.seconds > 0
    assert len(server.answered()) == asked and files(output) == whole
    assert (output / "manifest.json").stat() == written
    with pytest.raises(FinehardError, match="it ends here"):
        repeated()
    assert files(output) == whole and validate(str(output)) == []
    assert building.build(settings, str(source), str(output)).seconds == 0, "nothing is done"

    current_run.begin(str(output), run)  # as if the command had been killed before its last step
    current_run.completed(str(output), run)
    with pytest.raises(FileNotFoundError):
        repeated()  # the side files are gone
    assert files(output) == whole
    building.build(settings, str(source), str(output))
    assert len(server.answered()) == asked and files(output) == whole

    current_run.begin(str(output), "another")
    complete.begin(str(output))
    with pytest.raises(FinehardError, match="another build of .* has begun since"):
        repeated()
    assert not (output / "manifest.json").exists()
