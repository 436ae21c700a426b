"""Samples are removed for good: from every file, in any spelling, after kills, in later builds."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from finehard.cli import main
from finehard.dataset.reader import open_dataset
from finehard.dataset.removals import Removals, entry, read_list, recorded
from finehard.dataset.validate import validate
from finehard.errors import UsageError
from finehard.export.export import export
from finehard.publish import remove as removing
from finehard.publish.remove import remove
from tests.dataset.finished import dataset


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset, not to be changed."""
    return dataset(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def made(whole: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(whole, tmp_path / "dataset"))


def _list(folder: Path, *lines: str, name: str = "list.txt") -> str:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def _members(made: Path) -> dict[str, bytes]:
    """All bytes of each sample, headers included, by key."""
    found: dict[str, bytes] = {}
    for path in sorted(made.glob("shards/*.tar")):
        data = path.read_bytes()
        with tarfile.open(path) as tar:
            for member in tar:
                key = member.name.partition(".")[0]
                end = member.offset_data + -(-member.size // 512) * 512
                found[key] = found.get(key, b"") + data[member.offset : end]
    return found


def _sums(made: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in made.glob("shards/*.tar")}


def _sha256(made: Path, key: str) -> str:
    return str(open_dataset(made)[key].json["image"]["sha256"])


def test_named_samples_are_gone_and_others_keep_their_bytes(made: Path, tmp_path: Path) -> None:
    before, sums = _members(made), _sums(made)
    manifest = json.loads((made / "manifest.json").read_text())
    sha256 = _sha256(made, "k07")
    names = _list(tmp_path, "# asked for", "http://Example.org/2.jpg", "k04~2", sha256)
    removed = remove(str(made), names)
    gone = {"k02", "k04~2", "k07"}
    assert dict(removed.samples) == {"url": 1, "key": 1, "sha256": 1} and not removed.unmatched
    assert _members(made) == {key: data for key, data in before.items() if key not in gone}
    assert validate(str(made)) == []
    assert sum(sums[name] != other for name, other in _sums(made).items()) == removed.shards
    now = json.loads((made / "manifest.json").read_text())
    assert now["rejects"] == {**manifest["rejects"], "removed_on_request": 3}
    assert now["counts"]["written"] == manifest["counts"]["written"] - 3
    for table in ("index", "regions"):
        assert not gone & {*pq.read_table(made / f"{table}.parquet")["key"].to_pylist()}
    for text in ("2.jpg", "k04~2", "k07", "/in/002"):
        assert text not in (made / "report.html").read_text()
    export(str(made), str(tmp_path / "exported"), "jsonl")
    lines = (tmp_path / "exported" / "metadata.jsonl").read_text().splitlines()
    assert {json.loads(line)["key"] for line in lines} == before.keys() - gone


def test_shards_that_hold_no_named_sample_are_not_written(made: Path, tmp_path: Path) -> None:
    times = {p: p.stat().st_mtime_ns for p in made.glob("shards/*.tar")}
    assert remove(str(made), _list(tmp_path, "k02")).shards == 1
    assert sum(p.stat().st_mtime_ns != time for p, time in times.items()) == 1


@pytest.mark.parametrize("step", ["_write_rejects", "_write_index", "_write_regions", "describe"])
def test_a_removal_that_was_killed_is_completed_by_the_next(
    made: Path, tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Path(shutil.copytree(made, tmp_path / "undisturbed"))
    names = _list(tmp_path, "k02", "k03", "k11")
    remove(str(other), names)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(removing, step, killed)
        remove(str(made), names)
    assert not (made / "manifest.json").exists()
    again = remove(str(made), names)
    assert again.samples.total() == 0 and validate(str(made)) == []
    for file in ("manifest.json", "index.parquet", "regions.parquet", "README.md"):
        assert (made / file).read_bytes() == (other / file).read_bytes()
    assert _sums(made) == _sums(other) and (made / "report.html").exists()


def test_a_list_that_names_nothing_is_recorded(made: Path, tmp_path: Path) -> None:
    sums, manifest = _sums(made), (made / "manifest.json").read_bytes()
    removed = remove(str(made), _list(tmp_path, "https://example.org/none.jpg"))
    assert removed.unmatched == ["//example.org/none.jpg"]
    assert _sums(made) == sums and (made / "manifest.json").read_bytes() == manifest
    assert recorded(str(made)) == [entry("url", "https://example.org/none.jpg")]


def test_two_removals_add_up(made: Path, tmp_path: Path) -> None:
    remove(str(made), _list(tmp_path, "k04"))
    assert validate(str(made)) == [] and "k04~2" in open_dataset(made)
    remove(str(made), _list(tmp_path, "k05", "k04"))
    assert validate(str(made)) == []
    manifest = json.loads((made / "manifest.json").read_text())
    assert manifest["rejects"]["removed_on_request"] == 2
    assert {each.kind for each in recorded(str(made))} == {"source", "key"}


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("a.csv", ["caption,url,sha256", "x,https://e.org/A?b=1#c,", f"y,,{'A' * 64}"]),
        ("a.csv", ["kind,value", "url,https://e.org/A?b=1", f"sha256,{'a' * 64}"]),
        ("a.jsonl", ['{"url": "http://E.org/A?b=1"}', f'{{"sha256": "{"a" * 64}"}}']),
    ],
)
def test_lists_may_be_csv_or_jsonl(tmp_path: Path, name: str, lines: list[str]) -> None:
    found = read_list(_list(tmp_path, *lines, name=name))
    assert found == [entry("url", "https://e.org/A?b=1"), entry("sha256", "a" * 64)]


def test_a_line_of_no_known_kind_is_named(
    tmp_path: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = _list(tmp_path, "k02", "", "two words")
    assert main(["remove", str(made), "--list", names]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "line 3" in line and "'two words'" in line
    with pytest.raises(UsageError, match="no column is named"):
        read_list(_list(tmp_path, "a,b", "1,2", name="b.csv"))


def test_a_list_of_many_entries_finds_exactly_them() -> None:
    removals = Removals(entry("key", f"k{n}") for n in range(0, 20_000, 2))
    found = [n for n in range(2_000) if removals.match(key=f"k{n}", url=f"k{n}")]
    assert found == list(range(0, 2_000, 2))
