"""Whatever a sample contains: it is used, or skipped with a reason; training never ends."""

import io
import json
import random
import tarfile
from collections import Counter
from dataclasses import replace

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


def region(**changes):
    good = {"box": [0, 0, 1, 1], "short_expr": "a", "long_expr": "a b", "hard_negatives": []}
    return {"regions": [{**good, **changes}]}


NO_CAPTION = [
    {"short_caption": None, "long_caption": None},
    {"short_caption": 5, "long_caption": ["a"]},
    {"short_caption": "", "long_caption": " "},
]
OTHER_CAPTION = [
    ({"short_caption": None}, "no short_caption: long_caption is used"),
    ({"long_caption": None}, "no long_caption: short_caption is used"),
    ({"long_caption": ["a"]}, "no long_caption: short_caption is used"),
    (
        {"short_caption": None, "long_caption": None, "caption": "a cat"},
        "no short_caption and no long_caption: caption is used",
    ),
]
BAD_REGION = [
    ({"regions": 5}, "region 0: not as documented"),
    ({"regions": [None]}, "region 0: not as documented"),
    ({"regions": {"a": 1}}, "region 0: not as documented"),
    (region(box=None), "region 0: its box is None"),
    (region(box=[0, 0, 1]), "region 0: its box is [0, 0, 1]"),
    (region(box=[0, 0, True, 1]), "region 0: its box is [0, 0, True, 1]"),
    (region(box=[0, 0, 10**400, 1]), "region 0: "),
    (region(box=[0.1, 0.1, 1.2, 0.9]), "outside the image"),
    (region(box=[-0.1, 0.1, 0.2, 0.9]), "outside the image"),
    (region(box=[12, 10, 200, 96]), "seems to be in pixels"),
    (region(box=[0.5, 0.1, 0.5, 0.9]), "has no area"),
    (region(short_expr=None), "its short_expr is None"),
    (region(hard_negatives="abc"), "its hard_negatives are 'abc'"),
    (region(hard_negatives=[{"text": None}]), "its hard_negatives are [{'text': None}]"),
    (region(hard_negatives=[{}]), "region 0: not as documented"),
]
BAD = [*NO_CAPTION, *(changes for changes, _ in OTHER_CAPTION + BAD_REGION)]


@pytest.mark.parametrize("changes", NO_CAPTION, ids=repr)
def test_a_sample_without_captions_raises_value_error(changes):
    with pytest.raises(ValueError, match="it has no caption"):
        selected(**changes)


@pytest.mark.parametrize(("changes", "told"), OTHER_CAPTION, ids=repr)
def test_another_caption_replaces_a_missing_one(changes, told):
    targets = selected(**changes)
    assert targets.missing == told
    assert targets.long and targets.short.removeprefix("a photo of ")


@pytest.mark.parametrize(("changes", "told"), BAD_REGION, ids=lambda value: repr(value)[:60])
def test_a_bad_region_is_dropped_with_a_reason(changes, told):
    targets = selected(**changes)
    assert not targets.regions and not targets.missing
    assert [told in reason for reason in targets.dropped] == [True]


@pytest.mark.parametrize("changes", [{"regions": None}, {"regions": []}])
def test_a_sample_without_regions_has_captions_only(changes):
    assert selected(**changes) == replace(selected(), regions=())
    sample = made_shards.sample(3)[1]
    del sample["regions"]
    assert select(sample, SampleConfig(), random.Random(0)) == selected(**changes)


def test_a_box_may_leave_the_image_through_rounding():
    assert selected(**region(box=[-0.0004, 0, 1.0004, 1])).regions


def write_with_bad_samples(folder):
    """A dataset of 64 samples, of which every second one has one of the faults in `BAD`."""
    made_shards.write(folder, 64, per_shard=64)
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


def test_bad_samples_are_skipped_counted_and_named(tmp_path, capsys):
    """Also by the tokenizer, which is trained on the same samples."""
    bad = write_with_bad_samples(tmp_path / "set")
    values = {**TINY, "optimizer": {**TINY["optimizer"], "batch_size": 16, "steps": 4}}
    result = train(parse_train_config(values, "test"), [str(tmp_path / "set")], tmp_path / "out")
    rows = [json.loads(x) for x in (tmp_path / "out" / "skipped.jsonl").read_text().splitlines()]
    samples, regions = len(NO_CAPTION) + 1, len(BAD_REGION) - 1  # 10**400 is no JSON here
    parts = Counter(row["part"] for row in rows)
    assert parts == {"sample": samples, "caption": len(OTHER_CAPTION), "regions": regions}
    assert (result["step"], result["skipped"], result["dropped"]) == (4, samples, regions)
    assert sorted(row["key"] for row in rows) == sorted(bad) and len(bad) == len(BAD)
    assert all(row["reason"] and row["shard"].endswith(".tar") for row in rows)
    printed = capsys.readouterr().err
    assert f"{rows[0]['shard']}: {rows[0]['key']}: " in printed and printed.count("\n") == 3
