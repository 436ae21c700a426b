"""One dataset from and into each kind of store: built, resumed, validated, reported, trained on."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finehard import build, load_config, open_dataset, validate
from finehard.io import storage
from finehard.report import report
from tests.io import emulators
from tests.pipelines.world import Server, config, images

pytestmark = pytest.mark.full
IMAGES = 20


@contextlib.contextmanager
def _store(scheme: str, folder: Path) -> Iterator[emulators.Emulator]:
    if scheme in ("file", "memory"):
        root = f"file://{folder}/store" if scheme == "file" else "memory://things"
        yield emulators.Emulator(root, {}, "")
    else:
        with emulators.start(scheme) as emulator:
            yield emulator


def _shards(dataset: str) -> dict[str, str]:
    """The SHA-256 of every shard."""
    shards = storage.glob(storage.join(dataset, "shards"), "")
    return {
        file.uri.rsplit("/", 1)[1]: hashlib.sha256(storage.read_all(file.uri)).hexdigest()
        for file in shards
    }


def _samples(dataset: str, source: str) -> list[tuple[str, dict[str, Any], bytes]]:
    """Key, JSON and image of every sample, the input's folder replaced."""
    return [
        (s.key, json.loads(json.dumps(s.json).replace(source, "INPUT")), s.image_bytes)
        for s in open_dataset(dataset)
    ]


@pytest.mark.parametrize("scheme", ["file", "memory", "s3", "gs", "az"])
def test_a_dataset_in_a_store_is_the_local_one(tmp_path: Path, server: Server, scheme: str) -> None:
    from finehard.fgclip.train import train
    from tests.fgclip.test_train import config as train_config

    source, local = images(tmp_path / "in", IMAGES), tmp_path / "local"
    with _store(scheme, tmp_path) as store:
        settings = load_config(str(config(tmp_path, server.url, storage=store.options)))
        build(settings, str(source), str(local))
        into, both = f"{store.root}/into", f"{store.root}/both"
        build(settings, str(source), into)
        assert _shards(into) == _shards(str(local))

        for path in source.iterdir():
            storage.write(f"{store.root}/in/{path.name}", path.read_bytes())
        build(settings, f"{store.root}/in", both)
        where = storage.local(f"{store.root}/in")
        assert _samples(both, where) == _samples(str(local), str(source))

        asked = len(server.answered())
        again = build(settings, f"{store.root}/in", both)
        assert len(server.answered()) == asked
        assert again.manifest["counts"]["written"] == IMAGES

        assert validate(both) == []
        report(both)
        assert storage.size(storage.join(both, "report.html")) > 1000

        run = f"{store.root}/run"
        first = train(train_config(optimizer={"steps": 4}, run={"save_every": 2}), [both], run)
        assert first["step"] == 4
        here = train(
            train_config(optimizer={"steps": 4}, run={"save_every": 2}), [str(local)],
            tmp_path / "run",
        )  # fmt: skip
        weights = [f"{folder}/model/model.safetensors" for folder in (run, tmp_path / "run")]
        assert first["loss"] == here["loss"]
        assert storage.read_all(weights[0]) == storage.read_all(weights[1])
        storage.delete([weights[0]])
        resumed = train(train_config(optimizer={"steps": 4}, run={"save_every": 2}), [both], run)
        assert resumed["step"] == 4 and storage.exists(weights[0])
