"""The published copy tells no local path, says what it is, and is as valid as its original."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import DatasetCard

from finehard.audit.store import load_audit, save_audit
from finehard.cli import main
from finehard.dataset.reader import open_dataset
from finehard.dataset.removals import recorded
from finehard.dataset.validate import validate
from finehard.publish import publish as publishing
from finehard.publish.about import About
from finehard.publish.places import Places
from finehard.publish.publish import publish
from finehard.publish.remove import remove
from tests.dataset import finished

ABOUT = About("Still lifes: 16", "cc-by-4.0", ("A. Author",), "data@example.org")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset whose sources, errors and settings tell where it was made."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        _tells_places(patch, folder)
        return finished.dataset(folder)


def _tells_places(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Makes `finished.dataset` name places below `folder` wherever a build can."""
    sample, row = finished.sample_json, finished.Reject
    stages = {"caption": {"model": f"{folder}/models/tiny", "revision": None, "fingerprint": "f"}}

    def located(record: Any, _: Any) -> dict[str, Any]:
        at = f"{folder}/in/00000.tar#{record.source.rsplit('/', 1)[1]}.jpg"
        if record.key == "k03":
            at = f"{folder}/elsewhere/3.jpg"
        text = sample(record, stages)
        text["image"]["source_uri"] = at
        return {**text, "extra": {"own": {"read": [f"{folder}/own.txt"]}}, "schema_version": "1.1"}

    def reject(key: str, source: str, *rest: str) -> Any:
        return row(key, f"{folder}{source}", *rest[:-1], f"no answer: {folder}/in/x y.jpg is gone")

    patch.setattr(finished, "sample_json", located)
    patch.setattr(finished, "Reject", reject)
    patch.setattr(finished, "STAGES", stages)
    config = finished.as_dict

    def settings(parsed: Any) -> dict[str, Any]:
        values = config(parsed)
        values["detect"]["model"] = f"{folder}/weights/owl"
        values["server"] = {
            "engine": {"args": [f"--template={folder}/chat.jinja"], "python": "~/v"}
        }
        return values

    patch.setattr(finished, "as_dict", settings)


def _everything(folder: Path) -> Iterator[tuple[str, bytes]]:
    """All files of a dataset but the journal, members of tars and rows of Parquet files by
    themselves: these are compressed."""
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or name.startswith("_journal"):
            continue
        yield name, path.read_bytes()
        if path.suffix == ".tar":
            with tarfile.open(path) as tar:
                for member in tar:
                    file = tar.extractfile(member)
                    yield f"{name}/{member.name}", file.read() if file else b""
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            yield f"{name} rows", json.dumps(table.to_pylist()).encode()
            yield f"{name} schema", str(table.schema.metadata).encode()


def _telling(folder: Path, *secrets: str) -> list[str]:
    return [f"{name}: {s}" for name, data in _everything(folder) for s in secrets
            if s.encode() in data]  # fmt: skip


def test_no_file_of_it_tells_a_local_path(made: Path, tmp_path: Path) -> None:
    home = str(made.parent)
    save_audit(str(made), {"items": 0})
    assert len(_telling(made, home)) > 10
    out = tmp_path / "out"
    publish(str(made), str(out), ABOUT, workers=1)
    assert validate(str(out)) == []
    secrets = (home, str(tmp_path), os.getcwd(), os.path.expanduser("~") + "/", "127.0.0.1")
    assert _telling(out, *secrets) == []
    assert load_audit(str(out)) is not None
    sources = {sample.key: sample.json["image"]["source_uri"] for sample in open_dataset(out)}
    assert sources["k02"] == "in/00000.tar#002.jpg"
    assert sources["k03"].startswith("in/") and sources["k03"].endswith("/3.jpg")
    config = json.loads((out / "manifest.json").read_text())["config"]
    assert config["detect"]["model"] == "owl" and config["models"]["lmm"]["endpoints"] == []
    assert config["server"]["engine"]["args"] == ["--template=chat.jinja"]


def test_annotations_and_images_stay_as_they_are(made: Path, tmp_path: Path) -> None:
    publish(str(made), str(tmp_path / "out"), ABOUT, workers=1)
    before, after = open_dataset(made), open_dataset(tmp_path / "out")
    assert list(before.keys()) == list(after.keys())
    for old, new in zip(before, after, strict=True):
        assert old.image_bytes == new.image_bytes
        same = ("short_caption", "long_caption", "alt_text", "regions", "key")
        assert all(old.json[name] == new.json[name] for name in same)
        assert old.json["image"]["url"] == new.json["image"]["url"]
    assert (made / "manifest.json").read_bytes().count(b'"published"') == 0


def test_the_card_says_what_it_is(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    publish(str(made), str(out), ABOUT, "pictures-2026", workers=1)
    loaded = DatasetCard.load(out / "README.md", ignore_metadata_errors=False)
    assert loaded.data.license == "cc-by-4.0" and loaded.data.pretty_name == ABOUT.name
    [config] = loaded.data.configs
    assert config["data_files"] == [{"split": "train", "path": "shards/*.tar"}]
    text = loaded.text
    for said in ("synthetic", "## Known limits", "`data@example.org`", "`pictures-2026`",
                 "words of a long caption", "hard negatives by attribute"):  # fmt: skip
        assert said in text
    shown = [line for line in text.splitlines() if line.startswith("![")]
    assert len(shown) == 3
    assert all((out / line.rpartition("(")[2].rstrip(")")).is_file() for line in shown)
    cited = yaml.safe_load((out / "CITATION.cff").read_text())
    assert cited["title"] == ABOUT.name and cited["license"] == "CC-BY-4.0"
    assert cited["authors"] == [{"name": "A. Author"}] and cited["type"] == "dataset"
    croissant = json.loads((out / "croissant.json").read_text())
    assert croissant["name"] == ABOUT.name and "cc-by-4.0" in croissant["license"]


def test_a_repeated_call_writes_whole_shards_no_more(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(publishing, "merge_tables", killed)
        publish(str(made), str(out), ABOUT, workers=1)
    times = {p: p.stat().st_mtime_ns for p in out.glob("shards/*.tar")}
    publish(str(made), str(out), ABOUT, workers=1)
    assert times and {p: p.stat().st_mtime_ns for p in times} == times
    assert validate(str(out)) == [] and not list(out.glob("_journal/_*"))


def test_what_is_removed_later_leaves_the_copy_too(made: Path, tmp_path: Path) -> None:
    out, names = tmp_path / "out", tmp_path / "list.txt"
    publish(str(made), str(out), ABOUT, workers=1)
    shown = next(path.stem for path in sorted((out / "pictures").iterdir()))
    names.write_text(shown)
    remove(str(out), str(names))
    assert validate(str(out)) == [] and not (out / "pictures" / f"{shown}.jpg").exists()
    assert len(list((out / "pictures").iterdir())) == 3
    assert "## Known limits" in (out / "README.md").read_text()
    assert [each.kind for each in recorded(str(out))] == ["source"]
    with pytest.raises(Exception, match="1 removals from .* were not made in"):
        publish(str(made), str(out), ABOUT, workers=1)


def test_wrong_arguments_are_one_line_each(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("")
    out = str(tmp_path / "out")
    named = ["--name", "a", "--license", "mit"]
    for arguments, said in (
        ([str(made), out, "--name", "a\nb", "--license", "mit"], "--name"),
        ([str(made), out, "--name", "a", "--license", "my own"], "--license"),
        ([str(made), str(made / "out"), *named], "lies inside"),
        ([str(made), str(other), *named], "other files"),
        ([str(made), str(other / "file"), *named], "is a file"),
        ([str(other / "file"), out, *named], "is a file"),
        ([str(tmp_path / "no"), out, *named], "does not exist"),
    ):
        assert main(["publish", *arguments]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert said in line
    assert not os.path.exists(out)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/home/u/in/a/b.jpg", "pics/a/b.jpg"),
        ("/home/u/in", "pics"),
        ("/home/u/input/b.jpg", "pics/*/b.jpg"),
        ("/other/x.parquet#12", "pics/*/x.parquet#12"),
        ("file:///home/u/in/b.jpg", "pics/b.jpg"),
        ("s3://bucket/in/b.jpg", "pics/*/b.jpg"),
        ("00000.json#12", "00000.json#12"),
    ],
)
def test_sources_are_named_by_their_input(text: str, told: str) -> None:
    found = Places("/home/u/in", "pics").source(text)
    begin, _, end = told.partition("*")
    assert found.startswith(begin) and found.endswith(end)
    assert "*" in told or found == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cannot read /home/u/m/w.pt: gone", "cannot read w.pt: gone"),
        ("--a=/home/u/x/t.jinja", "--a=t.jinja"),
        ("~/models/tiny/", "tiny"),
        ("https://e.org/home/u/x.jpg, and/or 1/2", "https://e.org/home/u/x.jpg, and/or 1/2"),
        ("at /home/u", "at ~"),
        ("s3://bucket/models/tiny", "tiny"),
    ],
)  # fmt: skip
def test_paths_in_texts_become_their_last_component(text: str, told: str) -> None:
    places = Places("/home/u/in", "pics", ["/home/u"])
    assert places.text(text) == told


def test_images_with_urls_keep_them() -> None:
    places = Places("/in", "pics", ["/root", "/home/u"])
    image = {"source_uri": "/in/1.jpg", "url": "https://e.org/root/1.jpg"}
    made = places.sample({"image": image, "provenance": {}, "alt_text": "at /home/u/x, /root"})
    assert made["image"] == {"source_uri": "pics/1.jpg", "url": "https://e.org/root/1.jpg"}
    assert made["alt_text"] == "at ~/x, /root"
    assert io.StringIO(json.dumps(places.sample({"image": {**image, "url": "/root/1"},
                       "provenance": {}}))).read().count("root") == 0  # fmt: skip
