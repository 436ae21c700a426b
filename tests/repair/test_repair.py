"""A repair asks only about what is missing or was found untrue, and leaves all else as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finehard.config import parse_config
from finehard.dataset.reader import open_dataset
from finehard.dataset.validate import validate
from finehard.records import HardNegative, Record, Region
from finehard.repair.keep import Keep, KeepConfig, Unmark
from finehard.repair.repair import repair
from tests.dataset import finished
from tests.faults.world import Faulty, faulty, settings


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    with faulty(tmp_path_factory.mktemp("server") / "answered.log") as running:
        yield running


def _record(*regions: Region) -> Record:
    record = Record("k", "/in/k.jpg", "u", finished.Bytes("", 0, 0), "")
    return replace(record, regions=regions, extra={"own": 1})


def test_texts_that_nobody_verified_stay_unverified() -> None:
    box = (0.1, 0.1, 0.5, 0.5)
    blue = HardNegative("a blue mug", "color", "red", "blue")
    untrue = replace(blue, text="a green mug", replacement="green", verified=False)
    kept = Region(box, 0.5, "mug", "a red mug", "a red mug", (blue, untrue))
    true = Region(box, 0.5, "cup", "a cup", "a cup", (), True)
    record = _record(kept, true, replace(kept, short_expr="a plate", verified=False))
    marked = Keep(KeepConfig(per_region=3)).apply(record)
    assert isinstance(marked, Record)
    assert [r.verified for r in marked.regions] == [True, True, False]
    assert [n.verified for n in marked.regions[0].hard_negatives] == [True, False, False]
    assert [len(r.hard_negatives) for r in marked.regions] == [3, 3, 3]
    unmarked = Unmark(None).apply(marked)
    assert isinstance(unmarked, Record) and unmarked.extra == {"own": 1}
    assert unmarked.regions[1] == true
    assert unmarked.regions[0] == kept


def test_what_an_import_says_of_regions_follows_them() -> None:
    regions = [Region((0.1, 0.1, 0.5, n / 10), 0.5, "mug", "a mug", "a mug") for n in (3, 4, 5)]
    defects = {"region 1": "short_expr.lost_noun", "long_caption": "cut"}
    released = {"f_path": "a.jpg", "scored": [True, False, True], "defects": defects}
    record = replace(_record(*regions), extra={"release": released})
    marked = Keep(KeepConfig()).apply(record)
    assert isinstance(marked, Record)
    left = replace(marked, regions=(marked.regions[0], marked.regions[2]))
    unmarked = Unmark(None).apply(left)
    assert isinstance(unmarked, Record)
    left_of = {"f_path": "a.jpg", "scored": [True, True], "defects": {"long_caption": "cut"}}
    assert unmarked.extra == {"release": left_of}


def _with_faults(patch: pytest.MonkeyPatch) -> None:
    """Makes `finished.dataset` mark some region texts and negatives as untrue."""
    sample = finished.sample_json

    def faulty_sample(record: Any, made_by: Any) -> dict[str, Any]:
        made = sample(record, made_by)
        if record.key == "k02":
            made["regions"][0]["verified"] = False
        if record.key == "k05":
            made["regions"][0]["hard_negatives"][0]["verified"] = False
        return made

    patch.setattr(finished, "sample_json", faulty_sample)


@pytest.mark.slow
def test_only_what_is_missing_or_untrue_is_asked(
    tmp_path: Path, server: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_faults(monkeypatch)
    made, out = finished.dataset(tmp_path), tmp_path / "out"
    before = {sample.key: sample.json for sample in open_dataset(made)}
    config = parse_config(settings(server.url, negatives={"per_region": 2}), "test")
    repaired = repair(config, str(made), str(out))
    assert validate(str(out)) == [] and repaired.manifest["counts"]["written"] == 16
    after = {sample.key: sample.json for sample in open_dataset(out)}
    assert after.keys() == before.keys()
    for key, sample in after.items():
        assert sample["image"] == before[key]["image"]
        assert {"keep", "verify_corrected"} <= sample["provenance"].keys()
        if key not in ("k02", "k05"):
            assert sample["regions"] == before[key]["regions"]
    usage = repaired.manifest["usage"]
    assert usage["correct_texts"]["requests"] == 1
    assert usage["correct_negatives"]["requests"] == 2
    assert all(r["verified"] is not False for s in after.values() for r in s["regions"])
    asked = {line.split()[1] for line in server.log.read_text().splitlines()}
    assert asked == {"correct_texts", "correct_negatives", "verify_corrected"}
    server.log.write_text("")
    (out / "manifest.json").unlink()
    assert repair(config, str(made), str(out)).manifest == repaired.manifest
    assert server.answered() == []
    assert json.loads((out / "manifest.json").read_text())["pipeline"][0] == "keep"
