"""A folder of images as a source."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finehard.dataset.layout import shard_of
from finehard.records import Reject
from finehard.sources import SourceConfig, discover, read, safe_key, units
from tests.pictures import jpg
from tests.sources.tars import CONFIG, all_of, outcomes, parts


def _folder(path: Path, names: list[str]) -> Path:
    for seed, name in enumerate(names):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(jpg(seed))
    return path


def test_images_are_read_at_any_depth_with_their_text_files(tmp_path: Path) -> None:
    names = ["a.jpg", "sub/a.PNG", "sub/deep/b.webp", "c.jpeg"]
    _folder(tmp_path, [*names, "notes.md", ".hidden/d.jpg", "_journal/e.jpg"])
    (tmp_path / "sub/a.txt").write_bytes(b" a \xff text\0 ")
    [file] = discover(str(tmp_path), CONFIG)
    items = all_of(file)
    assert outcomes(items) == ["a", "c", "sub_a", "sub_deep_b"]
    assert [i.record.alt_text for i in items] == [None, None, "a \ufffd text", None]
    for item in items:
        assert Path(item.record.source).read_bytes() == item.data
    assert file.samples == 4


@given(st.sets(st.from_regex(r"[a-c]/?[a-z]{1,3}", fullmatch=True), max_size=60), st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_every_image_is_in_exactly_one_unit_in_order(
    tmp_path_factory: pytest.TempPathFactory, stems: set[str], size: int
) -> None:
    folder = _folder(tmp_path_factory.mktemp("f"), ["0.jpg", *(f"{stem}.jpg" for stem in stems)])
    [file] = discover(str(folder), CONFIG)
    config = SourceConfig(unit_size=size)
    taken = list(units(file, config))
    names = [name for unit in taken for name in unit.names]
    assert names == sorted(names) and set(names) == {"0.jpg", *(f"{s}.jpg" for s in stems)}
    assert len({unit.id for unit in taken}) == len(taken)
    assert max(len(unit.names) for unit in taken) <= 4 * size


def test_an_added_image_changes_only_its_unit_in_any_folder(tmp_path: Path) -> None:
    names = [f"{n:03d}.jpg" for n in range(80)]
    [file] = discover(str(_folder(tmp_path / "one", names)), CONFIG)
    [more] = discover(str(_folder(tmp_path / "two", [*names, "040x.jpg"])), CONFIG)
    before, after = parts(file), parts(more)
    changed = [keys for unit, keys in before.items() if after.get(unit) != keys]
    assert len(before) > 10 and len(changed) == 1 and "040" in changed[0]


def test_unreadable_samples_are_rejected(tmp_path: Path) -> None:
    _folder(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    [file] = discover(str(tmp_path), CONFIG)
    taken = list(units(file, CONFIG))
    (tmp_path / "b.jpg").unlink()
    small = SourceConfig(max_image_bytes=10)
    items = [item for unit in taken for item in read(unit, CONFIG)]
    assert outcomes(items) == ["a", "unreadable_image b", "c"]
    assert outcomes(read(taken[0], small))[0] == "image_file_too_large a"


def test_a_name_that_is_not_unicode_is_rejected_not_crashed_on(tmp_path: Path) -> None:
    _folder(tmp_path, ["a.jpg"])
    with open(os.path.join(os.fsencode(tmp_path), b"\xff\xfe.jpg"), "wb") as file:
        file.write(jpg())
    [file] = discover(str(tmp_path), CONFIG)
    first, second = all_of(file)
    assert first.record.key == "a"
    assert isinstance(second, Reject) and second.reason == "unreadable_image"
    second.source.encode("utf-8")


def test_names_in_any_script_have_keys_of_their_own(tmp_path: Path) -> None:
    names = [f"图片{c}.jpg" for c in "一二三四五六七八九十百千万亿零"] + ["été.jpg", "ete.jpg"]
    [file] = discover(str(_folder(tmp_path, names)), CONFIG)
    keys = [i.record.key for i in all_of(file)]
    assert len(set(keys)) == len(names) and "ete" in keys
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,80}", key) for key in keys)
    assert len({shard_of(key, 8) for key in keys}) > 4


def test_keys_of_ascii_names_stay_as_they_were() -> None:
    assert safe_key("a b/c.d") == "a_b_c_d" and safe_key("") == "_"
    assert safe_key("x" * 90) == "x" * 63 + "_55dd49a410e4c58f"
