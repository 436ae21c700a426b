"""Commands that look at a dataset write the files that they name, and nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from finehard.cli import main
from tests.dataset.finished import dataset

Tree = dict[str, tuple[int, int]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dataset(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def world(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a dataset, a truth file, and an empty current folder."""
    shutil.copytree(whole, tmp_path / "dataset")
    thing = {"kind": "mug", "attributes": {"color": "red"}, "box": [0.1, 0.1, 0.6, 0.7]}
    rows = [
        {"truth_version": "1.0", "kinds": ["mug"], "attributes": {"color": ["red", "blue"]}},
        {"key": "k01", "objects": [thing]},
    ]
    (tmp_path / "truth.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def tree(folder: Path) -> Tree:
    """Size and modification time of every file and folder."""
    stats = {str(p.relative_to(folder)): p.stat() for p in sorted(folder.rglob("*"))}
    return {
        name: (0 if (folder / name).is_dir() else stat.st_size, stat.st_mtime_ns)
        for name, stat in stats.items()
    }


def changed(world: Path, command: list[str]) -> set[str]:
    """The files and folders that `command` writes, changes or deletes."""
    before = tree(world)
    assert main(command) == 0
    after = tree(world)
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


@pytest.mark.parametrize(
    ("command", "written"),
    [
        (["validate", "../dataset"], set()),
        (["report", "../dataset"], {"dataset", "dataset/report.html"}),
        (["report", "../dataset", "--output", "r.html"], {"here", "here/r.html"}),
        (["stats", "../dataset"], set()),
        (["stats", "../dataset", "--json"], set()),
        (["show", "../dataset", "k01"], {"here", "here/k01.png"}),
        (["show", "../dataset", "k01", "--output", "../x.png"], {"x.png"}),
        (["audit", "../dataset"], {"dataset", "dataset/audit.json"}),
        (["evaluate", "data", "../dataset", "--truth", "../truth.jsonl"], set()),
        (
            ["evaluate", "data", "../dataset", "--truth", "..", "--json", "f.json"],
            {"here", "here/f.json"},
        ),
    ],
    ids=lambda value: " ".join(sorted(value) if isinstance(value, set) else value),
)
def test_a_command_writes_only_the_files_it_names(
    world: Path, command: list[str], written: set[str]
) -> None:
    assert changed(world, command) == written


def _delete_manifest(dataset: Path) -> None:
    (dataset / "manifest.json").unlink()


def _cut_a_shard(dataset: Path) -> None:
    shard = min((dataset / "shards").iterdir())
    shard.write_bytes(shard.read_bytes()[:700])


@pytest.mark.parametrize(
    ("spoil", "commands"),
    [
        (_delete_manifest, ("validate", "report", "stats")),
        (_cut_a_shard, ("validate", "report", "stats", "evaluate", "audit")),
    ],
)
def test_a_command_that_fails_writes_nothing(
    world: Path, spoil: Callable[[Path], None], commands: tuple[str, ...]
) -> None:
    spoil(world / "dataset")
    before = tree(world)
    for command in commands:
        arguments = [command, "../dataset"]
        if command == "evaluate":
            arguments = ["evaluate", "data", "../dataset", "--truth", "../truth.jsonl"]
        assert main(arguments) in (1, 2)
        assert tree(world) == before, command


def test_audit_says_where_its_figures_go(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "audit.json" in " ".join(capsys.readouterr().out.split())
