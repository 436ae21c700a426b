"""A finished dataset is valid, and each corruption is reported."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finehard.dataset.layout import shard_of
from finehard.dataset.tables import INDEX_SCHEMA, described
from finehard.dataset.validate import validate
from finehard.errors import UsageError
from tests.dataset.finished import dataset
from tests.pictures import encoded, jpg, picture

Members = list[tuple[str, bytes]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset, not to be changed."""
    return dataset(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def made(whole: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    return Path(shutil.copytree(whole, tmp_path / "dataset"))


def test_a_finished_dataset_is_valid(whole: Path) -> None:
    assert validate(str(whole)) == []


def test_duplicate_keys_are_sorted_after_the_first(tmp_path: Path) -> None:
    from tests.dataset.finished import Store, shard  # "k~2" is written before "k-1", which sorts so

    store = Store(tmp_path / "in")
    made = shard(tmp_path, [store.sample(k, n) for n, k in enumerate(("k", "k", "k-1", "k0"))])
    with tarfile.open(tmp_path / "shards" / f"{made.name}.tar") as tar:
        names = [m.name.split(".")[0] for m in tar][::2]
    from finehard.dataset.layout import split_key

    assert names == ["k", "k~2", "k-1", "k0"] == sorted(names, key=split_key)


def test_a_folder_without_dataset_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        validate(str(tmp_path / "nowhere"))
    [problem] = validate(str(tmp_path))
    assert "did not finish" in problem


def _manifest(made: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = made / "manifest.json"
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def _first(made: Path) -> Path:
    return min((made / "shards").iterdir())


def _rewrite(made: Path, change: Callable[[Members], object], reindex: bool = True) -> None:
    """Changes the first shard's members; manifest and index then agree with the new shard."""
    path = _first(made)
    with tarfile.open(path) as tar:
        members = [(m.name, tar.extractfile(m).read()) for m in tar]  # type: ignore[union-attr]
    change(members)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    _agree(made, path, members if reindex else None)


def _agree(made: Path, path: Path, members: Members | None) -> None:
    data = path.read_bytes()
    keys = {name.split(".")[0] for name, _ in members or []}

    def change(manifest: dict[str, Any]) -> None:
        [entry] = [s for s in manifest["shards"] if s["name"] == path.name]
        entry.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        if members is not None:
            entry["samples"] = len(keys)
            manifest["counts"]["written"] = sum(s["samples"] for s in manifest["shards"])
            manifest["counts"]["read"] = (
                manifest["counts"]["written"] + manifest["counts"]["rejected"]
            )
            sizes = {s["name"]: s["samples"] for s in manifest["shards"]}
            (made / "sizes.json").write_text(json.dumps(sizes))

    _manifest(made, change)
    if members is None:
        return
    with tarfile.open(path) as tar:
        locations = {m.name: (m.offset_data, m.size) for m in tar}
    rows = [r for r in pq.read_table(made / "index.parquet").to_pylist() if r["shard"] != path.name]
    for name, text in members:
        key, _, suffix = name.partition(".")
        if suffix == "json" and (
            image := next((n for n in locations if n != name and n.startswith(f"{key}.")), None)
        ):
            try:
                known = described(json.loads(text))
            except (ValueError, KeyError):
                known = {}
            rows.append(
                {"key": key, "shard": path.name, **known, **_place("image", locations[image]),
                 **_place("json", locations[name])}
            )  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows, INDEX_SCHEMA), made / "index.parquet")
    counted = {w: sum(r.get(w) or 0 for r in rows) for w in ("regions", "hard_negatives")}
    _manifest(made, lambda m: m["counts"].update(counted))


def _place(part: str, where: tuple[int, int]) -> dict[str, int]:
    return {f"{part}_offset": where[0], f"{part}_size": where[1]}


def _sample(made: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes the .json of the first sample that has regions."""

    def changed(members: Members) -> None:
        for index, (name, data) in enumerate(members):
            if name.endswith(".json") and json.loads(data)["regions"]:
                value = json.loads(data)
                change(value)
                members[index] = (name, json.dumps(value).encode())
                return

    _rewrite(made, changed)


def _image(made: Path, data: bytes, agree: bool = True) -> None:
    """Puts `data` in place of the first JPEG; with `agree` its .json gives the new SHA-256."""

    def changed(members: Members) -> None:
        index = next(n for n, (name, _) in enumerate(members) if name.endswith(".jpg"))
        name, text = members[index + 1]
        value = json.loads(text)
        if agree:
            value["image"]["sha256"] = hashlib.sha256(data).hexdigest()
        members[index : index + 2] = [
            (members[index][0], data), (name, json.dumps(value).encode())
        ]  # fmt: skip

    _rewrite(made, changed)


def _index(made: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    path = made / "index.parquet"
    rows = pq.read_table(path).to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, INDEX_SCHEMA), path)


def _rejects(made: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    path = max((made / "rejected").iterdir(), key=lambda p: len(pq.read_table(p)))
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def _region(value: dict[str, Any], **fields: Any) -> None:
    value["regions"][0].update(fields)


def _negative(value: dict[str, Any], **fields: Any) -> None:
    value["regions"][0]["hard_negatives"][0].update(fields)


def _other_keys(made: Path) -> list[str]:
    """A key that does not belong to the shard of the longest file of rejects."""
    path = max((made / "rejected").iterdir(), key=lambda p: len(pq.read_table(p)))
    return [next(k for k in "abcdefgh" if shard_of(k, 3) != int(path.name.split("-")[1]))]


def _link(made: Path) -> None:
    path = _first(made)
    info = tarfile.TarInfo("k.lnk")
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    path.write_bytes(info.tobuf() + path.read_bytes())
    _agree(made, path, None)


def _spoil_tar(made: Path) -> None:
    path = _first(made)
    _flip(path, 130)  # in a header
    _agree(made, path, None)


def _strange_key(made: Path) -> None:
    first = int(_first(made).name.split("-")[1])
    key = next(k for k in "abcdefgh" if shard_of(k, 3) != first)

    def renamed(members: Members) -> None:
        (text, data) = (m[1] for m in sorted(members[:2], key=lambda m: "json" not in m[0]))
        image = next(name for name, _ in members[:2] if "json" not in name)
        value = {**json.loads(text), "key": key}
        members[:2] = [
            (f"{key}.{image.split('.')[1]}", data),
            (f"{key}.json", json.dumps(value).encode()),
        ]
        members.sort()

    _rewrite(made, renamed)


def _broken(members: Members) -> None:
    index = next(n for n, (name, _) in enumerate(members) if name.endswith(".json"))
    members[index] = (members[index][0], b"{")


CORRUPTIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "manifest is missing": (lambda d: (d / "manifest.json").unlink(), "manifest.json is missing"),
    "manifest is cut": (lambda d: (d / "manifest.json").write_bytes(b'{"counts":'), "not JSON"),
    "manifest is deep": (lambda d: (d / "manifest.json").write_bytes(b"[" * 99_999), "not JSON"),
    "manifest is a list": (lambda d: (d / "manifest.json").write_text("[]"), "must be object"),
    "manifest key too many": (lambda d: _manifest(d, lambda m: m.update(x=1)), "manifest.json: "),
    "manifest of another version": (
        lambda d: _manifest(d, lambda m: m.update(schema_version="2.0")),
        "schema_version",
    ),
    "counts do not add up": (
        lambda d: _manifest(d, lambda m: m["counts"].update(read=21)),
        "21 read",
    ),
    "regions miscounted": (
        lambda d: _manifest(d, lambda m: m["counts"].update(regions=1)),
        "counts 17 regions",
    ),
    "shards not in order": (
        lambda d: _manifest(d, lambda m: m["shards"].reverse()),
        "in their order",
    ),
    "samples of a shard miscounted": (
        lambda d: _manifest(d, lambda m: m["shards"][0].update(samples=99)),
        "samples, the manifest",
    ),
    "index is missing": (lambda d: (d / "index.parquet").unlink(), "index.parquet is missing"),
    "index is garbage": (
        lambda d: (d / "index.parquet").write_bytes(b"PAR1" * 9),
        "cannot be read",
    ),
    "index has other columns": (
        lambda d: pq.write_table(pa.table({"key": ["a"]}), d / "index.parquet"),
        "other columns",
    ),
    "index row is missing": (
        lambda d: _index(d, lambda rows: rows.pop(3)),
        "is not in index.parquet",
    ),
    "index row is double": (
        lambda d: _index(d, lambda rows: rows.insert(3, rows[3])),
        "occurs twice",
    ),
    "index row too many": (
        lambda d: _index(d, lambda rows: rows.insert(1, {**rows[0], "key": "new"})),
        "has new, which",
    ),
    "index names a strange shard": (
        lambda d: _index(d, lambda rows: rows[0].update(shard="x.tar")),
        "names shard x.tar",
    ),
    "index has a row of nulls": (
        lambda d: _index(
            d, lambda rows: rows.insert(0, dict.fromkeys(rows[0]) | {"shard": rows[0]["shard"]})
        ),
        "has no value in some column",
    ),
    "index has a value of another type": (
        lambda d: pq.write_table(
            pq.read_table(d / "index.parquet").set_column(7, "width", pa.array(["x"] * 16)),
            d / "index.parquet",
        ),
        "other columns",
    ),
    "index points beside": (
        lambda d: _index(d, lambda rows: rows[0].update(image_offset=7)),
        "points beside its image",
    ),
    "index gives another width": (
        lambda d: _index(d, lambda rows: rows[0].update(width=7)),
        "width",
    ),
    "index gives another source": (
        lambda d: _index(d, lambda rows: rows[0].update(source="x")),
        "another source",
    ),
    "index mixes its shards": (
        lambda d: _index(d, lambda rows: rows.append(rows.pop(0))),
        "do not stand together",
    ),
    "sizes are missing": (lambda d: (d / "sizes.json").unlink(), "sizes.json is missing"),
    "sizes disagree": (lambda d: (d / "sizes.json").write_text("{}"), "sizes.json does not agree"),
    "card is missing": (lambda d: (d / "README.md").unlink(), "README.md is missing"),
    "shard is missing": (lambda d: _first(d).unlink(), "is missing"),
    "shard too many": (lambda d: shutil.copy(_first(d), d / "shards/x.tar"), "x.tar is not in"),
    "shard left half-written": (
        lambda d: (d / "shards/.x.tar.1.tmp").write_bytes(b""),
        ".tmp is not in",
    ),
    "shard is cut": (lambda d: _first(d).write_bytes(_first(d).read_bytes()[:-512]), "bytes, not"),
    "shard has a flipped bit": (lambda d: _flip(_first(d), 900), "is damaged: its SHA-256"),
    "shard is no whole tar": (_spoil_tar, "is no whole tar"),
    "shard holds a link": (_link, "is no regular file"),
    "member is double": (lambda d: _rewrite(d, lambda m: m.insert(1, m[0])), "json occurs twice"),
    "members are apart": (lambda d: _rewrite(d, lambda m: m.append(m.pop(0))), "stand together"),
    "members not sorted": (
        lambda d: _rewrite(d, lambda m: m.extend([m.pop(0), m.pop(0)])),
        "keys are not sorted",
    ),
    "sample without its image": (lambda d: _rewrite(d, lambda m: m.pop(0)), "not one image"),
    "sample with two images": (
        lambda d: _rewrite(d, lambda m: m.insert(2, (m[0][0].split(".")[0] + ".gif", b"x"))),
        "not one image",
    ),
    "sample in another's shard": (_strange_key, "belongs to another shard"),
    "sample of a double without the first": (
        lambda d: _rewrite(d, lambda m: m.insert(2, (m[0][0].split(".")[0] + "~9.json", b"{}"))),
        "is there without",
    ),
    "json is not JSON": (lambda d: _rewrite(d, _broken), "is not JSON"),
    "json holds NaN": (
        lambda d: _sample(d, lambda v: _region(v, score=float("nan"))),
        "is not JSON",
    ),
    "json lacks a key": (lambda d: _sample(d, lambda v: v.pop("alt_text")), "alt_text"),
    "json is of another key": (lambda d: _sample(d, lambda v: v.update(key="zz")), "is of zz"),
    "caption is empty": (lambda d: _sample(d, lambda v: v.update(long_caption="")), "long_caption"),
    "box is empty": (
        lambda d: _sample(d, lambda v: _region(v, box=[0.5, 0.1, 0.5, 0.9])),
        "is empty",
    ),
    "box is turned": (
        lambda d: _sample(d, lambda v: _region(v, box=[0.1, 0.9, 0.5, 0.1])),
        "is empty",
    ),
    "box is in pixels": (lambda d: _sample(d, lambda v: _region(v, box=[1, 2, 30, 40])), "box"),
    "score over 1": (lambda d: _sample(d, lambda v: _region(v, score=1.5)), "score"),
    "negative says the same": (
        lambda d: _sample(d, lambda v: _negative(v, text="A RED  mug")),
        "says the same",
    ),
    "negative is double": (
        lambda d: _sample(d, lambda v: _negative(v, text="a green mug")),
        "occurs twice",
    ),
    "negative without its replacement": (
        lambda d: _sample(d, lambda v: _negative(v, text="a white mug")),
        "without its replacement",
    ),
    "negative of an unknown attribute": (
        lambda d: _sample(d, lambda v: _negative(v, attribute="mood")),
        "attribute",
    ),
    "image is another": (lambda d: _image(d, jpg(77), agree=False), "not the one whose SHA-256"),
    "image is of another size": (lambda d: _image(d, jpg(7, 50)), "of 50 x 30 px"),
    "image is of another format": (lambda d: _image(d, encoded(picture(), "PNG")), "is png of"),
    "image is none": (lambda d: _image(d, b"<html>"), "cannot be read"),
    "rejects are missing": (
        lambda d: shutil.rmtree(d / "rejected"),
        "rejected/ holds 0 rows, the manifest counts 4",
    ),
    "reject row is missing": (lambda d: _rejects(d, lambda rows: rows.pop()), "holds 3 rows"),
    "reject of an unknown reason": (
        lambda d: _rejects(d, lambda rows: rows[0].update(reason="mood")),
        "unknown reason 'mood'",
    ),
    "reject of another reason": (
        lambda d: _rejects(d, lambda rows: rows[0].update(reason="server_error")),
        "other reasons",
    ),
    "reject key is double": (
        lambda d: _rejects(d, lambda rows: rows.append(rows[0])),
        "a key occurs twice",
    ),
    "reject in another's file": (
        lambda d: [
            _rejects(d, lambda rows, key=key: rows[0].update(key=key)) for key in _other_keys(d)
        ],
        "another shard",
    ),
    "rejects are garbage": (
        lambda d: min((d / "rejected").iterdir()).write_bytes(b"x"),
        "cannot be read",
    ),
    "rejects have other columns": (
        lambda d: pq.write_table(pa.table({"key": ["a"]}), min((d / "rejected").iterdir())),
        "other columns",
    ),
    "rejects of no shard": (
        lambda d: min((d / "rejected").iterdir()).rename(d / "rejected/x.parquet"),
        "to no shard",
    ),
}


def test_a_users_own_annotations_and_reasons_are_valid(made: Path) -> None:
    _sample(made, lambda v: v.update(schema_version="1.1", extra={"mood": {"score": 3, "why": []}}))
    _manifest(
        made,
        lambda m: m.update(
            schema_version="1.1",
            pipeline=["caption", "mood"],
            reject_reasons={"dull": "the mood is too low"},
            rejects={"dull": 1, **m["rejects"], "timeout": m["rejects"]["timeout"] - 1},
        ),
    )
    _rejects(made, lambda rows: rows[0].update(reason="dull"))
    assert validate(str(made)) == []


def test_extra_annotations_need_version_1_1(made: Path) -> None:
    _sample(made, lambda v: v.update(extra={}))
    assert any("schema_version must be same as" in p for p in validate(str(made)))


def test_rewriting_alone_keeps_a_dataset_valid(made: Path) -> None:
    _rewrite(made, lambda members: None)
    assert validate(str(made)) == []


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_each_corruption_is_reported(made: Path, corruption: str) -> None:
    spoil, says = CORRUPTIONS[corruption]
    spoil(made)
    problems = validate(str(made))
    assert any(says in problem for problem in problems), problems
    assert not any("\n" in problem for problem in problems)


def test_a_sample_that_is_also_rejected_is_reported(made: Path) -> None:
    for path in (made / "rejected").iterdir():
        table = pq.read_table(path)
        rows = table.to_pylist()
        for row in rows:
            if row["key"] == "k04~3":
                row["key"] = "k04"
        pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
    assert any("k04 is among the rejects too" in p for p in validate(str(made)))
