"""What was removed stays out of later builds: from checkpoints, from the journal, from a list."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from finehard.building import build
from finehard.config import parse_config
from finehard.dataset.reader import open_dataset
from finehard.dataset.validate import validate
from finehard.publish import remove as removing
from finehard.publish.remove import remove
from finehard.release.importing import import_release
from finehard.sources import SourceConfig, discover
from tests.faults.world import Faulty, built, faulty, settings
from tests.pipelines.world import images, sums
from tests.release import made as released


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    with faulty(tmp_path_factory.mktemp("server") / "answered.log") as running:
        yield running


def _captions(server: Faulty) -> int:
    return server.log.read_text().split().count("caption")


@pytest.mark.slow
def test_later_builds_do_not_bring_samples_back(tmp_path: Path, server: Faulty) -> None:
    values, source, output = settings(server.url), images(tmp_path / "in", 40), tmp_path / "out"
    built(values, source, output)
    first, second = list(open_dataset(output).keys())[3:5]
    names = tmp_path / "list.txt"
    names.write_text(f"{first}\n{open_dataset(output)[second].json['image']['sha256']}\n")
    remove(str(output), str(names))
    before, manifest = sums(output), open_dataset(output).manifest
    index = (output / "index.parquet").read_bytes()

    def build_again() -> int:
        """Builds, checks that nothing changed, and returns how many images were through."""
        again = build(parse_config(values, "test"), str(source), str(output))
        assert again.manifest["counts"] == manifest["counts"]
        assert again.manifest["rejects"] == manifest["rejects"] == {"removed_on_request": 2}
        assert sums(output) == before and (output / "index.parquet").read_bytes() == index
        assert validate(str(output)) == []
        return int(again.counts["through"])

    time = (output / "manifest.json").stat().st_mtime_ns
    assert build_again() == 0 and (output / "manifest.json").stat().st_mtime_ns == time
    server.log.write_text("")
    (output / "manifest.json").unlink()
    assert build_again() == 40  # by the checkpoints
    shutil.rmtree(output / "_journal" / "_units")
    (output / "manifest.json").unlink()
    assert build_again() == 0 and server.answered() == []  # by the journal


@pytest.mark.slow
def test_what_a_list_names_is_asked_nothing(tmp_path: Path, server: Faulty) -> None:
    source = images(tmp_path / "in", 12)
    built(settings(server.url), source, tmp_path / "all")
    whole = open_dataset(tmp_path / "all")
    keys = list(whole.keys())
    names = tmp_path / "list.csv"
    names.write_text(f"sha256,key\n{whole[keys[0]].json['image']['sha256']},\n,{keys[1]}\n")
    asked = _captions(server)
    server.log.write_text("")
    values = settings(server.url, source={"unit_size": 8, "removal_list": str(names)})
    manifest = built(values, source, tmp_path / "out")
    assert manifest["rejects"] == {"removed_on_request": 2}
    assert manifest["config"]["source"]["removal_list"] == str(names)
    assert list(open_dataset(tmp_path / "out").keys()) == keys[2:]
    assert _captions(server) == asked - 1  # a key is certain only when the shard is written
    names.write_text(f"key\n{keys[5]}\n")  # what was recorded stays
    assert built(values, source, tmp_path / "out")["rejects"] == {"removed_on_request": 3}
    assert built(settings(server.url), source, tmp_path / "out")["counts"]["written"] == 9


@pytest.mark.slow
def test_rejects_fed_back_leave_out_what_was_removed(tmp_path: Path, server: Faulty) -> None:
    source = images(tmp_path / "in", 12)
    (source / "00099.tar").write_bytes(b"x" * 2048)
    built(settings(server.url), source, tmp_path / "out")
    names = tmp_path / "list.txt"
    names.write_text("\n".join(list(open_dataset(tmp_path / "out").keys())[:2]))
    remove(str(tmp_path / "out"), str(names))
    rejected = tmp_path / "out" / "rejected"
    files = discover(str(rejected), SourceConfig())
    [fed_back] = [name for file in files for name in file.only or ()]
    assert fed_back.startswith(str(source / "00099.tar"))


@pytest.mark.slow
def test_a_build_takes_the_place_of_a_killed_removal(
    tmp_path: Path, server: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, source, output = settings(server.url), images(tmp_path / "in", 12), tmp_path / "out"
    built(values, source, output)
    names = tmp_path / "list.txt"
    names.write_text(next(iter(open_dataset(output).keys())))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(removing, "describe", killed)
        remove(str(output), str(names))
    assert built(values, source, output)["rejects"] == {"removed_on_request": 1}
    assert not (output / "_journal" / "_removing.json").exists()
    before = sums(output)
    assert remove(str(output), str(names)).samples.total() == 0 and sums(output) == before


def test_a_repeated_import_leaves_out_what_was_removed(tmp_path: Path) -> None:
    items = [released.item(n, released.region()) for n in range(6)]
    folders = released.release(tmp_path / "release", items), released.as_tar(tmp_path / "i", [2, 3])
    output = tmp_path / "out"
    import_release(*map(str, folders), str(output), workers=1)
    names = tmp_path / "list.txt"
    names.write_text(released.url_of(2))
    remove(str(output), str(names))
    before = sums(output)
    again = import_release(*map(str, folders), str(output), workers=1)
    assert again.manifest["rejects"] == {"missing_image": 4, "removed_on_request": 1}
    assert sums(output) == before and validate(str(output)) == []
