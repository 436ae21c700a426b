"""Whatever a sample contains: it is used, or skipped with a reason; training never ends."""

import io
import json
import random
import tarfile

import pytest

from finehard.fgclip.config import parse_train_config
from finehard.fgclip.targets import SampleConfig, select
from finehard.fgclip.train import train

from . import made_shards
from .test_train import TINY


def selected(**changes):
    sample = {**made_shards.sample(3)[1], **changes}
    return select(sample, SampleConfig(boxes=9), random.Random(0))


@pytest.mark.parametrize(
    "box", [[0.5, 0.1, 0.5, 0.9], [0.1, 0.9, 0.5, 0.9], [0.5, 0.1, 0.4, 0.9], [1, 0, 1.5, 1]]
)
def test_box_without_area_drops_only_its_region(box):
    regions = made_shards.sample(3)[1]["regions"]
    assert len(regions) > 1
    changed = [{**regions[0], "box": box}, *regions[1:]]
    assert selected(regions=changed).regions == selected(regions=regions[1:]).regions


BAD = [
    {"short_caption": None},
    {"long_caption": None},
    {"long_caption": ["a"]},
    {"regions": None},
    {"regions": 5},
    {"regions": [None]},
    {"regions": {"a": 1}},
    {"regions": [{"box": None}]},
    {"regions": [{"box": [0, 0, 1]}]},
    {"regions": [{"box": [0, 0, 10**400, 1]}]},
    {"regions": [{"box": [0, 0, 1, 1], "short_expr": None, "long_expr": "a"}]},
    {"regions": [{"box": [0, 0, 1, 1], "short_expr": "a"}]},
    {"regions": [{"box": [0, 0, 1, 1], "short_expr": "a", "long_expr": "a",
                  "hard_negatives": None}]},
    {"regions": [{"box": [0, 0, 1, 1], "short_expr": "a", "long_expr": "a",
                  "hard_negatives": [{"text": None}]}]},
]  # fmt: skip


@pytest.mark.parametrize("changes", BAD, ids=repr)
def test_samples_against_the_contract_raise_value_error(changes):
    with pytest.raises(ValueError):
        selected(**changes)


def write_with_bad_samples(folder):
    """A dataset of 32 samples, of which every second one has one of the faults in `BAD`."""
    made_shards.write(folder, 32, per_shard=32)
    [path] = (folder / "shards").glob("*.tar")
    with tarfile.open(path) as tar:
        members = [(m, tar.extractfile(m).read()) for m in tar]
    faults = iter(BAD)
    bad = {}
    with tarfile.open(path, "w") as tar:
        for member, data in members:
            key, suffix = member.name.split(".")
            if suffix == "json" and int(key) % 2 and (fault := next(faults, None)):
                data, bad[key] = json.dumps({**json.loads(data), **fault}).encode(), fault
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return bad


def test_bad_samples_are_skipped_counted_and_named(tmp_path):
    """Also by the tokenizer, which is trained on the same samples."""
    bad = write_with_bad_samples(tmp_path / "set")
    values = {**TINY, "optimizer": {**TINY["optimizer"], "batch_size": 16, "steps": 2}}
    result = train(parse_train_config(values, "test"), [str(tmp_path / "set")], tmp_path / "out")
    rows = [json.loads(x) for x in (tmp_path / "out" / "skipped.jsonl").read_text().splitlines()]
    assert result["step"] == 2 and result["skipped"] == len(rows) == len(bad) == len(BAD)
    assert {row["key"] for row in rows} == set(bad)
    assert all(row["reason"] and row["shard"].endswith(".tar") for row in rows)
