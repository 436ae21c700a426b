"""Images that the config does not want are rejects of a build, before any question about them."""

from __future__ import annotations

import io
import json
import random
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.altered import ALTERATIONS
from finehard.curate.fingerprinting import fingerprint_images
from finehard.dataset.validate import validate
from tests.curate.pictures import folder, jpeg, scene
from tests.pipelines.world import Server, build, config, manifest, sums

pytestmark = pytest.mark.slow

RULES = {
    "min_sharpness": 20.0,
    "licenses": ["CC0"],
    "columns": {"punsafe": {"most": 0.5}, "opt_out": {"none_of": ["true"]}},
    "checks": ["personal_data"],
}


def samples() -> dict[str, tuple[bytes, dict[str, Any]]]:
    """Images as files, with img2dataset's JSON, by key."""
    good = {"license": "CC0", "punsafe": 0.1, "caption": "a scene"}
    found = {f"k{n}": (jpeg(scene(n)), good) for n in range(4)}
    cut = jpeg(ALTERATIONS["cropped by 5 %"](scene(20), random.Random(1)))
    return found | {
        "eval": (cut, good),
        "unsafe": (jpeg(scene(5)), {**good, "punsafe": 0.9}),
        "opted": (jpeg(scene(6)), {**good, "opt_out": True}),
        "closed": (jpeg(scene(7)), {**good, "license": "unknown"}),
        "mail": (jpeg(scene(8)), {**good, "caption": "by jane@example.org"}),
    }


def write_tar(path: Path) -> None:
    """A tar as img2dataset writes it."""
    with tarfile.open(path, "w") as tar:
        for key, (image, meta) in samples().items():
            for suffix, data in (("jpg", image), ("json", json.dumps(meta).encode())):
                info = tarfile.TarInfo(f"{key}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def write_parquet(path: Path) -> None:
    """The same as a table."""
    rows = [{"key": key, "image": image, "opt_out": None, **meta}
            for key, (image, meta) in samples().items()]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), path)


def test_unwanted_images_are_rejects_of_the_build(tmp_path: Path, server: Server) -> None:
    prints = tmp_path / "mini.parquet"
    fingerprint_images([str(folder(tmp_path / "mini", {"e": jpeg(scene(20))}))], str(prints))
    chosen = config(tmp_path, server.url, curate={**RULES, "evaluation": [str(prints)]})
    results = []
    for name, write in (("in.tar", write_tar), ("in.parquet", write_parquet)):
        write(tmp_path / name)
        output = tmp_path / name.replace(".", "-")
        done = build(chosen, tmp_path / name, output)
        assert done.returncode == 0, done.stderr
        rows = [row for file in (output / "rejected").glob("*.parquet")
                for row in pq.read_table(file).to_pylist()]  # fmt: skip
        results.append({row["key"]: (row["stage"], row["reason"]) for row in rows})
        written = manifest(output)
        assert written["counts"]["written"] == 4
        assert written["usage"]["caption"]["requests"] >= 4
        assert written["dropped"]["curate.no_value"] == 4  # without opt_out
        assert "evaluation_image" in written["reject_reasons"]
        assert written["stages"]["curate"]["model"] is None
        assert validate(str(output)) == []
    assert (
        results[0]
        == results[1]
        == {
            "eval": ("curate", "evaluation_image"),
            "unsafe": ("curate", "left_out_by_column"),
            "opted": ("curate", "left_out_by_column"),
            "closed": ("curate", "license_not_allowed"),
            "mail": ("curate", "personal_data"),
        }
    )


def test_a_missing_evaluation_file_is_told_before_anything(tmp_path: Path, server: Server) -> None:
    write_tar(tmp_path / "in.tar")
    chosen = config(tmp_path, server.url, curate={"evaluation": ["gone.parquet"]})
    done = build(chosen, tmp_path / "in.tar", tmp_path / "out")
    assert done.returncode == 2 and sums(tmp_path / "out") == {}
    assert "curate.evaluation" in done.stderr and "Traceback" not in done.stderr


def test_embeddings_are_refused_in_a_build(tmp_path: Path, server: Server) -> None:
    write_tar(tmp_path / "in.tar")
    chosen = config(tmp_path, server.url, curate={"embeddings": {"model": "m"}})
    done = build(chosen, tmp_path / "in.tar", tmp_path / "out")
    assert done.returncode == 2 and "finehard curate" in done.stderr
