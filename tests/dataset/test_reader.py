"""Datasets are read by key, by shard and in order; with an index or only tars, local or remote."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st

from finehard.dataset.reader import Dataset, open_dataset
from finehard.dataset.shard import _NAME, UnreadableSample, scan_shard
from finehard.dataset.shard_cache import ShardCache
from finehard.errors import FinehardError, UsageError
from tests.dataset.finished import dataset


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset of 16 samples in 3 shards; not to be changed."""
    return dataset(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def tars(whole: Path, tmp_path: Path) -> Path:
    """Its shards alone, without index, manifest and sizes."""
    shutil.copytree(whole / "shards", tmp_path / "tars" / "shards")
    return tmp_path / "tars"


def content(dataset: Path) -> dict[str, dict[str, bytes]]:
    """Key to suffix to bytes, by tarfile."""
    samples: dict[str, dict[str, bytes]] = {}
    for path in sorted((dataset / "shards").iterdir()):
        with tarfile.open(path) as tar:
            for member in tar:
                key, suffix = member.name.split(".")
                data = tar.extractfile(member)
                assert data is not None
                samples.setdefault(key, {})[suffix] = data.read()
    return samples


@pytest.mark.parametrize("indexed", [True, False])
def test_all_ways_of_reading_agree(whole: Path, tars: Path, indexed: bool) -> None:
    opened = open_dataset(whole if indexed else tars)
    expected = content(whole)
    assert len(opened) == len(expected) == 16
    assert list(opened.keys()) == list(expected)
    by_order = [(s.key, s.json, s.image_bytes) for s in opened]
    by_shard = [
        (s.key, s.json, s.image_bytes)
        for number in range(len(opened.shards))
        for s in opened.shard(number)
    ]
    by_key = [(k, opened[k].json, opened[k].image_bytes) for k in expected]
    assert by_order == by_shard == by_key
    for key, sample, image in by_order:
        [suffix] = expected[key].keys() - {"json"}
        assert sample == json.loads(expected[key]["json"])
        assert image == expected[key][suffix]


@pytest.mark.parametrize("indexed", [True, False])
def test_a_shard_is_a_sequence(whole: Path, tars: Path, indexed: bool) -> None:
    opened = open_dataset(str(whole if indexed else tars))
    samples = opened.shard(1)
    assert len(samples) == opened.shards[1].samples
    assert samples[-1].key == list(samples.keys())[-1]
    assert [s.key for s in samples[1:3]] == list(samples.keys())[1:3]
    with pytest.raises(IndexError):
        samples[len(samples)]


@pytest.mark.parametrize("indexed", [True, False])
def test_an_unknown_key_is_a_key_error(whole: Path, tars: Path, indexed: bool) -> None:
    opened = open_dataset(str(whole if indexed else tars))
    assert "k04" in opened and "k04~2" in opened and "nothing" not in opened
    with pytest.raises(KeyError):
        opened["nothing"]


def test_images_are_decoded_as_displayed(whole: Path) -> None:
    sample = open_dataset(str(whole))["k01"]
    image = sample.json["image"]
    assert sample.image().size == (image["width"], image["height"])
    assert sample.image().mode == "RGB" and max(sample.image(20).size) == 20


def test_tars_in_the_folder_itself_are_shards(tars: Path) -> None:
    assert len(open_dataset(str(tars / "shards"))) == 16


def test_a_manifest_is_needed_only_where_it_is_read(tars: Path) -> None:
    opened = open_dataset(str(tars))
    assert len(list(opened)) == 16
    with pytest.raises(UsageError, match=r"has no manifest\.json"):
        _ = opened.manifest


@pytest.mark.parametrize("text", ["{", "[1]", '{"a.tar": "3"}', '{"a.tar": -1}', '{"a.tar": null}'])
def test_a_malformed_sizes_json_is_one_line(
    tars: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tars / "sizes.json").write_text(text)
    assert len(open_dataset(str(tars))) == 16
    [line] = capsys.readouterr().err.splitlines()
    assert "sizes.json" in line and "counted instead" in line


def test_a_damaged_index_is_one_line(whole: Path, tmp_path: Path) -> None:
    made = Path(shutil.copytree(whole, tmp_path / "dataset"))
    (made / "index.parquet").write_bytes(b"PAR1")
    with pytest.raises(UsageError, match=r"index\.parquet cannot be read") as caught:
        list(open_dataset(str(made)))
    assert "\n" not in str(caught.value)


def cut(folder: Path) -> Path:
    """Halves the first shard, and returns it."""
    path = sorted((folder / "shards").iterdir())[0]
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def test_a_cut_tar_is_reported_when_counted(tars: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = cut(tars)
    assert 0 < len(open_dataset(str(tars))) < 16
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"finehard: shard {path} is damaged (at byte ")


def test_iteration_does_not_end_early_at_a_cut_tar(tars: Path) -> None:
    path = cut(tars)
    with pytest.raises(FinehardError, match=f"shard {path} is damaged"):
        list(open_dataset(str(tars)))
    path.unlink()
    with tarfile.open(path, "w") as tar:  # whole, but of fewer samples than sizes.json has
        data = b"{}"
        info = tarfile.TarInfo("a.json")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    (tars / "sizes.json").write_text(json.dumps({path.name: 2}))
    with pytest.raises(FinehardError, match="1 of 2 samples"):
        list(open_dataset(str(tars)))


def test_an_unreadable_sample_is_named(whole: Path, tmp_path: Path) -> None:
    made = Path(shutil.copytree(whole, tmp_path / "dataset"))
    path = cut(made)
    with pytest.raises(UnreadableSample) as caught:
        for sample in open_dataset(str(made)):
            assert sample.json["key"] == sample.key and sample.image_bytes
    assert str(path) in str(caught.value) and "ends at byte" in caught.value.reason


def test_an_index_that_points_to_another_sample_is_noticed(whole: Path, tmp_path: Path) -> None:
    made = Path(shutil.copytree(whole, tmp_path / "dataset"))
    table = pq.read_table(made / "index.parquet")
    rows = table.to_pylist()
    rows[0]["key"], rows[1]["key"] = rows[1]["key"], rows[0]["key"]
    pq.write_table(pa.Table.from_pylist(rows, table.schema), made / "index.parquet")
    with pytest.raises(UnreadableSample, match="points to another sample"):
        _ = next(iter(open_dataset(str(made)))).json


def test_a_sample_without_an_image_still_has_annotations(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    with tarfile.open(tmp_path / "shards" / "a.tar", "w") as tar:
        for name, data in (("a.json", b'{"n": 1}'), ("b.json", b"[]"), ("c.jpg", b"")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    a, b, c = open_dataset(str(tmp_path))
    assert a.json == {"n": 1}
    for read, reason in (
        (lambda: a.image_bytes, "no image"),
        (lambda: b.json, "not an object"),
        (lambda: c.json, "no json"),
    ):
        with pytest.raises(UnreadableSample, match=reason):
            read()


@given(st.text(alphabet="a./-", min_size=1, max_size=12))
def test_names_are_split_as_webdataset_does(name: str) -> None:
    match = _NAME.match(name)
    expected = webdataset.tariterators.base_plus_ext(name)
    assert (match.groups() if match else (None, None)) == expected


def test_scan_goes_on_behind_damage(tars: Path) -> None:
    path = sorted((tars / "shards").iterdir())[0]
    keys = list(scan_shard(str(path)).keys())
    data = bytearray(path.read_bytes())
    data[:600] = b"x" * 600  # the first header
    path.write_bytes(data)
    samples = scan_shard(str(path))
    assert samples.damage.startswith("at byte 0, ") and list(samples.keys())[-1] == keys[-1]
    assert len(keys) > 2


def test_samples_of_a_shard_do_not_stay_in_memory(whole: Path) -> None:
    opened = open_dataset(str(whole))
    assert opened["k01"].json is not opened["k01"].json
    assert opened.shard(0)[0].json is not opened.shard(0)[0].json


def test_a_missing_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        open_dataset(str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="no shards in"):
        len(open_dataset(str(tmp_path)))


def test_local_shards_are_not_cached(tars: Path, tmp_path: Path) -> None:
    path = str(sorted((tars / "shards").iterdir())[0])
    assert ShardCache(1.0, str(tmp_path / "cache")).fetch(path) == path
    assert not (tmp_path / "cache").exists()
    assert isinstance(open_dataset(str(tars), ShardCache(1.0)), Dataset)
