"""Folders with everything mixed: every file is read, rejected, or told as not read."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finehard.errors import FinehardError
from finehard.records import Reject
from finehard.sources import Loaded, SourceConfig, read, survey, units
from tests.pictures import jpg
from tests.sources.tars import CONFIG, samples, tar_bytes

_IMAGES = (".jpg", ".JPEG", ".png", ".webp", ".gif", ".bmp", ".tiff", ".avif", ".heic", ".jfif", "")


def _read(path: Path, config: SourceConfig = CONFIG) -> tuple[list[Loaded | Reject], dict]:
    found = survey(str(path), config)
    items = [item for f in found.files for unit in units(f, config) for item in read(unit, config)]
    assert len(items) == sum(f.samples or 0 for f in found.files)
    return items, found.unread


def _sources(items: list[Loaded | Reject]) -> list[str]:
    return [i.source if isinstance(i, Reject) else i.record.source for i in items]


def _parquet(rows: dict) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(rows), out)
    return out.getvalue()


_LISTED = {"url": ["u"], "key": ["k"], "status": ["success"]}
_FILES: dict[str, tuple[bytes, int | str]] = {
    **{f"image{suffix}": (jpg(), "image") for suffix in _IMAGES},
    # by suffix; whether it is one its bytes decide
    **{
        name: (jpg(), "image")
        for name in (
            "UPPER.JPG",
            "photo.v1.2.Jpeg",
            "-rf.jpg",
            " .jpg",
            ".jpg",
            "._x.jpg",
            "new\nline.jpg",
            "caf\u00e9.jpg",
            "cafe\u0301.jpg",
            "\u732b.jpg",
            "#1@2#row=3.jpg",
            "100%41.jpg",
            "a*?[b].jpg",
            "x.tar.jpg",
            "y.parquet.png",
            "back\\slash.jpg",
            "n" * 250 + ".png",
            os.fsdecode(b"not \xff UTF-8.jpg"),
        )
    },
    **{f"empty{suffix}": (b"", "image") for suffix in (".jpg", ".gif", ".HEIC")},
    "text.jpg": (b"not an image", "image"),
    "two.tar": (tar_bytes(samples(2)), 2),
    "TWO.TAR": (tar_bytes(samples(2)), 2),
    "line\nbreak.tar": (tar_bytes(samples(2)), 2),
    "two.tar.gz": (gzip.compress(tar_bytes(samples(2))), 2),
    "TWO.TGZ": (gzip.compress(tar_bytes(samples(2))), 2),
    "not a.tar": (b"not a tar", 1),
    "a picture.tar": (jpg(), 1),
    "empty.tar": (b"", 1),
    "half.tar": (tar_bytes(samples(2))[:900], 1),
    "three.parquet": (_parquet({"image": [jpg()] * 3}), 3),
    "THREE.PARQUET": (_parquet({"image": [jpg()] * 3}), 3),
    "foreign.parquet": (_parquet({"x": [1]}), 1),
    "damaged.parquet": (b"PAR1 no", 1),
    "empty.parquet": (b"", 1),
    "a picture.parquet": (jpg(), 1),
    "listed.parquet": (_parquet(_LISTED), "unread"),
    "list.jsonl": (b'{"path": "gone.jpg"}\n\n{"path": "gone too.jpg"}\n[]\n', 3),
    "list.csv": (b"path,text\ngone.jpg,a\n", 1),
    "LIST.CSV": (b"path,text\ngone.jpg,a\n", 1),
    "list.tsv": (b"path\ttext\ngone.jpg\ta\n", 1),
    "other.csv": (b"a,b\n1,2\n", "unread"),
    "a picture.csv": (jpg(), "unread"),
    "metadata.csv": (b"x\n", "metadata"),
    "image.txt": (b"a text", "text"),
    "image.json": (b"no JSON", "text"),
    "orphan.txt": (b"a text", "unread"),
    "image.TXT": (b"a text", "unread"),
    "x_stats.json": (b"{}", "unread"),
    "README.md": (b"", "unread"),
    "LICENSE": (b"some text", "unread"),
    ".DS_Store": (b"", "unread"),
    "_SUCCESS": (b"", "unread"),
    ".three.parquet.crc": (b"crc", "unread"),
    "film.mp4": (b"", "unread"),
}
"""Content, and what it is: a number of items, or a kind of file."""
_FOLDERS = (
    "", "a", "b c", "a/deep", "a/v1.2", "_x", ".git", "a/_y/z", "out/_journal", "out/shards",
    "dir.tar", "dir.parquet/dir.jpg", "line\nbreak", "caf\u00e9", "cafe\u0301",
    os.fsdecode(b"\xff"),
)  # fmt: skip


def _special(path: Path, to: Path) -> None:
    """Makes what `path` is called for: a pipe, a link to itself, to a file, or to `to`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name == "pipe.jpg":
        os.mkfifo(path)
    else:
        path.symlink_to(path if path.name == "self.jpg" else to)


@given(
    st.sets(st.tuples(st.sampled_from(_FOLDERS), st.sampled_from(sorted(_FILES))), max_size=60),
    st.sets(
        st.sampled_from(
            ["loop", "a/up", "b c/out", "a/gone", "_x/up", "a/twice", "a/pipe.jpg", "self.jpg",
             "a/file.jpg", "b c/file.png"]
        )
    ),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_every_file_is_read_rejected_or_told(
    tmp_path_factory: pytest.TempPathFactory, files: set[tuple[str, str]], links: set[str]
) -> None:
    top = tmp_path_factory.mktemp("tree")
    root, outside = top / "in", top / "outside"
    files = files | {("", "image.jpg")}
    for folder, name in files:
        path = root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_FILES[name][0])
    outside.mkdir()
    (outside / "linked.jpg").write_bytes(jpg(1))
    for link in links:
        stem = Path(link).stem
        to = {"out": outside, "twice": outside, "gone": top / "nothing"}.get(stem, root)
        _special(root / link, outside / "linked.jpg" if stem == "file" else to)
    items, unread = _read(root)
    left_out = {f for f, _ in files if any(p.startswith((".", "_")) for p in f.split("/"))}
    if "out/_journal" in left_out:
        left_out.add("out/shards")
    open_files = {(f, n) for f, n in files if f not in left_out}
    kinds = [(f, _FILES[n][1]) for f, n in open_files]
    named = {(f, os.path.splitext(n)[0]) for f, n in open_files if _FILES[n][1] == "image"}
    linked = {link for link in links if Path(link).stem == "file"}
    followed = bool({"b c/out", "a/twice"} & links) + len(linked)  # both lead to the same folder
    assert len(items) == followed + sum(
        1 if kind == "image" else kind for _, kind in kinds if kind == "image" or kind in range(9)
    )
    assert len(set(_sources(items))) == len(items)
    first = min({"b c/out", "a/twice"} & links, default="")
    with_images = {f for f, kind in kinds if kind == "image"} | ({first} - {""})
    with_images |= {os.path.dirname(link) for link in linked}
    unused = sum(
        kind == "unread"
        or (kind == "text" and (folder, "image") not in named)
        or (kind == "metadata" and not any(_is_in(f, folder) for f in with_images))
        for folder, kind in kinds
    )
    told = len(files - open_files) + len(links) - followed + unused
    assert sum(unread.values()) == told, unread


def _is_in(folder: str, parent: str) -> bool:
    return not parent or folder == parent or folder.startswith(parent + "/")


@contextlib.contextmanager
def _without_rights() -> Iterator[None]:
    """Reads files as somebody who may not do so, which root always may."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_files_and_folders_without_rights_are_rejects_or_told() -> None:
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)
        names = ("open.jpg", "closed.jpg", "closed", "shut/a.jpg", "listed/b.jpg", "closed.tar",
                 "closed.parquet", "closed.csv", "metadata.csv")  # fmt: skip
        for name in names:
            path = Path(top, name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(jpg())
            if name not in ("open.jpg", "listed/b.jpg"):
                path.chmod(0)
        os.chmod(Path(top, "shut"), 0)
        os.chmod(Path(top, "listed"), 0o744)  # its names are known, its files are closed
        with _without_rights():
            items, unread = _read(Path(top))
        reasons = [i.reason if isinstance(i, Reject) else "read" for i in items]
        assert sorted(reasons) == ["read", *["unreadable_archive"] * 2, *["unreadable_image"] * 2]
        assert len(items) + sum(unread.values()) == len(names), unread
        assert unread["folders that cannot be opened"] == 1


def test_a_stray_tar_hides_no_image(tmp_path: Path) -> None:
    for n in range(20):
        (tmp_path / f"{n}.jpg").write_bytes(jpg(n))
    (tmp_path / "backup.tar").write_bytes(tar_bytes([("one.jpg", jpg())]))
    items, unread = _read(tmp_path)
    assert len(items) == 21 and not unread


def test_linked_folders_are_read_once_under_their_own_names(tmp_path: Path) -> None:
    (tmp_path / "in/own").mkdir(parents=True)
    (tmp_path / "in/own/a.jpg").write_bytes(jpg())
    (tmp_path / "store").mkdir()
    (tmp_path / "store/b.jpg").write_bytes(jpg())
    for name, to in (("a_link", "in/own"), ("x", "store"), ("y", "store"), ("store/z", "in")):
        link = tmp_path / (name if "/" in name else f"in/{name}")
        link.symlink_to(tmp_path / to)
    items, unread = _read(tmp_path / "in")
    assert [i.record.key for i in items] == ["own_a", "x_b"]
    assert unread == {"links to folders that are read already": 3}


def test_files_of_img2dataset_are_read_with_their_texts(tmp_path: Path) -> None:
    (tmp_path / "00000").mkdir()
    for n in range(3):
        (tmp_path / f"00000/{n:09d}.jpg").write_bytes(jpg(n))
        (tmp_path / f"00000/{n:09d}.txt").write_text(f"text {n}")
        meta = {"caption": "c", "url": f"http://x.test/{n}", "license": "CC0"}
        (tmp_path / f"00000/{n:09d}.json").write_text(json.dumps(meta))
    listed = {"url": ["u"] * 4, "key": ["k"] * 4, "status": ["success"] * 4}
    pq.write_table(pa.table(listed), tmp_path / "00000.parquet")
    (tmp_path / "00000_stats.json").write_text("{}")
    items, unread = _read(tmp_path)
    assert [(i.record.alt_text, i.record.url) for i in items] == [
        (f"text {n}", f"http://x.test/{n}") for n in range(3)
    ]
    assert unread == {"lists of img2dataset": 1, "statistics of img2dataset": 1}


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
@pytest.mark.parametrize("where", ["", "train/"])
def test_metadata_of_an_imagefolder_gives_the_texts(tmp_path: Path, kind: str, where: str) -> None:
    (tmp_path / "train/sub").mkdir(parents=True)
    names = ["train/a.jpg", "train/sub/b.jpg", "train/c.jpg"]
    for name in names:
        (tmp_path / name).write_bytes(jpg())
    (tmp_path / "train/a.txt").write_text("its own")
    rows = [{"file_name": name.removeprefix(where), "text": f'of "{name}",\nand more'}
            for name in [*names[:2], "train/gone.jpg"]]  # fmt: skip
    with open(tmp_path / where / f"metadata.{kind}", "w", newline="") as file:
        if kind == "csv":
            table = csv.DictWriter(file, ["file_name", "text"])
            table.writeheader()
            table.writerows(rows)
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    items, unread = _read(tmp_path)
    assert [i.record.key for i in items] == ["train_a", "train_c", "train_sub_b"]
    assert [i.record.alt_text for i in items] == ["its own", None, rows[1]["text"]]
    assert unread == {"rows of metadata without their image": 1}


@pytest.mark.parametrize("kind", ["jsonl", "csv", "tsv", "parquet"])
def test_images_that_a_list_names_are_read_once(tmp_path: Path, kind: str) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.jpg", "sub/b.jpg", "loose.jpg"):
        (tmp_path / name).write_bytes(jpg())
    rows = [{"path": path, "caption": f"of {path}", "size": "1"}
            for path in ("a.jpg", str(tmp_path / "sub/b.jpg"), "gone.jpg", "http://x.test/a.jpg",
                         "../up.jpg", "")]  # fmt: skip
    path = tmp_path / f"list.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]), dialect="excel-tab" if kind == "tsv" else
                                   "excel")  # fmt: skip
            table.writeheader()
            table.writerows(rows)
    items, unread = _read(tmp_path)
    reasons = [i.reason if isinstance(i, Reject) else i.record.alt_text for i in items]
    assert reasons == ["of a.jpg", f"of {tmp_path}/sub/b.jpg", "unreadable_image",
                       "unsafe_member", "unsafe_member", "missing_image", None]  # fmt: skip
    assert "img2dataset" in items[3].detail
    assert unread == {"files with an unread column 'size'": 1}
    keys = [i.record.key for i in items if isinstance(i, Loaded)]
    assert len(set(keys)) == 3


@given(st.lists(st.text(max_size=30), max_size=40), st.integers(1, 9), st.booleans())
@settings(max_examples=60, deadline=None)
def test_every_row_of_a_table_is_in_one_unit(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], size: int, crlf: bool
) -> None:
    path = tmp_path_factory.mktemp("list") / "list.csv"
    with path.open("w", newline="", encoding="utf-8", errors="replace") as file:
        table = csv.writer(file, lineterminator="\r\n" if crlf else "\n")
        table.writerow(["path", "text"])
        table.writerows([f"{n}.jpg", text.replace("\0", "")] for n, text in enumerate(texts))
    config = SourceConfig(unit_size=size)
    if not texts:
        return
    items, _ = _read(path, config)
    assert [i.key for i in items if isinstance(i, Reject)] == [str(n) for n in range(len(texts))]


@given(st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_lists_of_noise_never_raise(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    folder = tmp_path_factory.mktemp("noise")
    (folder / "a.jpg").write_bytes(jpg())
    for suffix in ("csv", "tsv", "jsonl"):
        (folder / f"x.{suffix}").write_bytes(b'{"path": 1}\n' + noise)
        (folder / f"metadata.{suffix}").write_bytes(noise)
    items, unread = _read(folder)
    assert items and sum(unread.values()) >= 0


def test_a_folder_without_images_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.md").write_text("")
    with pytest.raises(FinehardError, match="no images in .*: only 1 .csv files, 1 .md files"):
        survey(str(tmp_path), CONFIG)
    os.remove(tmp_path / "a.csv")
    with pytest.raises(FinehardError, match="no images in .*: expected .tar"):
        survey(str(tmp_path), CONFIG)
