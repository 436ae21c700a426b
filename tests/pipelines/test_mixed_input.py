"""A folder with everything mixed, built: all of it is read, rejected or told as not read."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finehard.dataset.reader import open_dataset
from finehard.images import ANY_SIDE, decode
from tests.pictures import encoded, jpg, picture
from tests.pipelines.world import ROOT, Server, build, built, config, manifest, sums
from tests.sources.tars import samples, tar_bytes

pytestmark = pytest.mark.slow


def _finehard(*arguments: str) -> str:
    command = [sys.executable, "-m", "finehard.cli", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _mixed(source: Path) -> Path:
    for folder in ("sub", ".hidden"):
        (source / folder).mkdir(parents=True)
    (source / "a.tar.gz").write_bytes(gzip.compress(tar_bytes(samples(20))))
    rows = {
        "image": [jpg(n) for n in range(40)],
        "key": [f"p{n}" for n in range(40)],
        "w": [1] * 40,
    }
    pq.write_table(pa.table(rows), source / "b.parquet")
    (source / "c.parquet").write_bytes(b"damaged")
    for kind in ("AVIF", "BMP", "GIF", "TIFF"):
        more = {} if kind == "BMP" else {"save_all": True, "append_images": [picture(seed=9)]}
        (source / f"{kind}.{kind.lower()}").write_bytes(encoded(picture(), kind, **more))
    (source / "telephone.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))
    for n, name in enumerate(("图片一.jpg", "图片二.jpg", "named.jpg", "sub/x.jpg")):
        (source / name).write_bytes(jpg(n))
    (source / "list.jsonl").write_text(
        json.dumps({"path": "named.jpg", "caption": "c"}) + "\n" + json.dumps({"path": "gone.jpg"})
    )
    for name in (".hidden/y.jpg", "notes.md"):
        (source / name).write_bytes(jpg())
    (source / "linked").symlink_to(source)
    return source


_READ = 20 + 40 + 1 + 3 + 2 + 4 + 1
_UNREAD = {
    ".md files": 1,
    "files in folders that begin with . or _": 1,
    "files with an unread column 'w'": 1,
    "links to folders that are read already": 1,
}


def test_a_mixed_folder_is_told_of_by_every_command(tmp_path: Path, server: Server) -> None:
    source = _mixed(tmp_path / "in")
    settings = config(tmp_path, server.url, images={"min_side": 8})
    line = "found and not read: 1 .md files, 1 files in folders that begin with . or _"
    plan = _finehard("plan", "--config", str(settings), "--input", str(source))
    assert f"{_READ} images in 5 files" in plan and line in plan
    output = tmp_path / "out"
    done = build(settings, source, output)
    assert done.returncode == 0, done.stdout + done.stderr
    assert line in done.stdout
    made = manifest(output)
    assert made["unread"] == _UNREAD
    assert made["counts"]["read"] == _READ == made["counts"]["written"] + 3
    assert made["rejects"] == {"not_an_image": 1, "unreadable_archive": 1, "unreadable_image": 1}
    assert made["dropped"]["source.more_frames"] == 3
    samples = {sample.key: sample for sample in open_dataset(output)}
    for kind in ("AVIF", "BMP", "GIF", "TIFF"):
        shown = decode((source / f"{kind}.{kind.lower()}").read_bytes(), ANY_SIDE).pixels
        sample = samples[kind]
        assert sample.json["image"]["format"] == "png" and sample.json["image"]["width"] == 40
        assert sample.image().tobytes() == shown.tobytes()
    assert line in (output / "README.md").read_text()
    assert line in (output / "report.html").read_text()
    _finehard("validate", str(output))
    again = _finehard("plan", "--config", str(settings), "--input", str(output / "rejected"))
    assert "3 images in 3 files" in again
    # the same bytes again, and no question asked twice
    before, asked = sums(output), len(server.answered())
    assert built(settings, source, output) == before and len(server.answered()) == asked


def test_a_manifest_says_nothing_where_all_was_read(tmp_path: Path, server: Server) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "a.tar").write_bytes(tar_bytes(samples(3)))
    built(config(tmp_path, server.url), source, tmp_path / "out")
    assert "unread" not in manifest(tmp_path / "out")
