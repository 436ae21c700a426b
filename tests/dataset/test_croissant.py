"""croissant.json: MLCommons' own reader accepts it and reads the index through it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import mlcroissant
import pyarrow.parquet as pq
import pytest

from tests.dataset.finished import dataset


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset."""
    return dataset(tmp_path_factory.mktemp("croissant"))


def _plain(value: Any) -> Any:
    value = value.decode() if isinstance(value, bytes) else value
    return value if isinstance(value, str) else int(value)


def test_mlcroissant_reads_every_index_row(made: Path, caplog: pytest.LogCaptureFixture) -> None:
    loaded = mlcroissant.Dataset(str(made / "croissant.json"))
    assert loaded.metadata.ctx.issues.errors == set()
    assert "@context" not in caplog.text
    records = [
        {name.removeprefix("index/"): _plain(value) for name, value in record.items()}
        for record in loaded.records("index")
    ]
    assert records == pq.read_table(made / "index.parquet").to_pylist()
    assert len(records) == 16


def test_every_shard_is_listed_with_hash_and_size(made: Path) -> None:
    files = json.loads((made / "croissant.json").read_text())["distribution"]
    assert len(files) == 1 + len(list(made.glob("shards/*.tar")))
    for file in files:
        data = (made / file["contentUrl"]).read_bytes()
        assert file["sha256"] == hashlib.sha256(data).hexdigest()
        assert file.get("contentSize", f"{len(data)} B") == f"{len(data)} B"


def test_a_changed_index_is_refused(made: Path, tmp_path: Path) -> None:
    for name in ("croissant.json", "index.parquet"):
        (tmp_path / name).write_bytes((made / name).read_bytes())
    metadata = json.loads((tmp_path / "croissant.json").read_text())
    metadata["distribution"][0]["sha256"] = "0" * 64
    (tmp_path / "croissant.json").write_text(json.dumps(metadata))
    with pytest.raises(mlcroissant.GenerationError) as refused:
        list(mlcroissant.Dataset(str(tmp_path / "croissant.json")).records("index"))
    assert "Hash of downloaded file" in str(refused.value.__cause__)
