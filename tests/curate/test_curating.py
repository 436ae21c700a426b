"""The pass over a finished dataset."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from bench.altered import ALTERATIONS
from finehard.cli import main
from finehard.curate.config import CopiesConfig, CurateConfig, EmbeddingsConfig
from finehard.curate.fingerprinting import fingerprint_images
from finehard.curating import curate, load_curate_config
from finehard.dataset.reader import open_dataset
from finehard.dataset.validate import validate
from finehard.errors import FinehardError, UsageError
from tests.curate.pictures import dataset, folder, jpeg, scene
from tests.dataset import finished

pytestmark = pytest.mark.slow


def altered(index: int, kind: str) -> bytes:
    """A scene after an alteration, as a file."""
    return jpeg(ALTERATIONS[kind](scene(index), random.Random(index)))


def rejects(output: Path) -> dict[str, tuple[str, str]]:
    """Reason and detail of every reject, by key."""
    tables = [pq.read_table(file).to_pylist() for file in (output / "rejected").glob("*.parquet")]
    return {row["key"]: (row["reason"], row["detail"]) for rows in tables for row in rows}


def test_copies_are_rejects_and_the_rest_is_byte_equal(tmp_path: Path) -> None:
    pictures = {f"k{n}": jpeg(scene(n)) for n in range(12)}
    pictures |= {"same": pictures["k1"], "small": altered(2, "resized"),
                 "flip": altered(3, "flipped"), "bar": altered(4, "caption bar added")}  # fmt: skip
    old = dataset(tmp_path, pictures, licenses={"k1": "CC0"})
    output = tmp_path / "new"
    done = curate(str(old), str(output))
    assert done.left_out == {"near_copy": 3, "same_bytes": 1}
    assert validate(str(output)) == []
    new, before = open_dataset(output), open_dataset(old)
    found = rejects(output)
    assert found["same"] == ("same_bytes", "as k1")
    assert found["small"][0] == "near_copy" and found["small"][1].startswith("of k2 (")
    assert found["bad"] == ("timeout", "no answer")  # which was one before
    # of the picture and the one with a bar the larger stays, of equal ones the larger file
    assert len({"bar", "k4"} & found.keys()) == 1 and "k4" in found
    assert len({"flip", "k3"} & found.keys()) == 1
    assert set(new.keys()) == pictures.keys() - found.keys()
    for key in new.keys():  # noqa: SIM118  a dataset iterates over samples
        assert new[key]._read("json", new[key]._entry.json) == before[key]._read(
            "json", before[key]._entry.json
        )
        assert new[key].image_bytes == before[key].image_bytes
    counts = done.manifest["counts"]
    assert (counts["read"], counts["written"], counts["rejected"]) == (17, 12, 5)
    assert done.manifest["usage"] == before.manifest["usage"]
    assert done.manifest["config"]["curate"]["copies"]["distance"] == CopiesConfig().distance
    assert not (output / "_journal" / "_curated").exists()


def test_flips_are_told_apart_as_configured(tmp_path: Path) -> None:
    old = dataset(tmp_path, {"a": jpeg(scene(1)), "b": altered(1, "flipped")})
    config = CurateConfig(copies=CopiesConfig(flips="different"))
    assert curate(str(old), str(tmp_path / "new"), config).left_out == {}


def test_repeated_keys_keep_their_names(tmp_path: Path) -> None:
    old = finished.dataset(tmp_path)
    output = tmp_path / "new"
    curate(str(old), str(output), CurateConfig(min_side=33))
    before, new = open_dataset(old), open_dataset(output)
    assert validate(str(output)) == []
    assert {key: new[key].json for key in new.keys()} == {  # noqa: SIM118
        key: before[key].json
        for key in new.keys()  # noqa: SIM118
    }


def test_images_of_evaluation_sets_are_left_out(tmp_path: Path) -> None:
    benchmark = folder(tmp_path / "mini", {f"e{n}": jpeg(scene(n)) for n in (20, 21, 22)})
    (benchmark / "broken.jpg").write_bytes(b"none")
    unread: list[str] = []
    prints = tmp_path / "mini.parquet"
    assert fingerprint_images([str(benchmark)], str(prints), unread=unread.append) == 3
    assert len(unread) == 1 and "broken" in unread[0]
    pictures = {f"k{n}": jpeg(scene(n)) for n in range(4)}
    pictures |= {"exact": jpeg(scene(20)), "cut": altered(21, "cropped by 5 %")}
    old = dataset(tmp_path / "old", pictures)
    output = tmp_path / "new"
    done = curate(str(old), str(output), CurateConfig(evaluation=(str(prints),)))
    assert done.left_out == {"evaluation_image": 2}
    assert rejects(output)["exact"] == ("evaluation_image", "e20 of mini")
    assert rejects(output)["cut"][1].startswith("e21 of mini (")


def test_a_pass_that_was_stopped_measures_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = dataset(tmp_path, {f"k{n}": jpeg(scene(n)) for n in range(4)})
    output = tmp_path / "new"

    def stops(*arguments: Any) -> None:
        raise RuntimeError("stopped")

    with monkeypatch.context() as patched:
        patched.setattr("finehard.curating._copies", stops)
        with pytest.raises(RuntimeError):
            curate(str(old), str(output))
    assert not (output / "manifest.json").exists()

    def again(self: Any) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("finehard.curate.work.Work.judge", again)
    assert curate(str(old), str(output)).manifest["counts"]["written"] == 4


def test_the_command_reads_the_section_of_a_builds_config(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = dataset(tmp_path, {"a": jpeg(scene(1)), "b": jpeg(scene(2).resize((90, 80)))})
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps({"models": {}, "curate": {"min_side": 5000}}))
    arguments = ["curate", str(old), "--output", str(tmp_path / "new"), "--config", str(config)]
    assert main([*arguments, "--set", "curate.min_side=100"]) == 0
    assert "1 small_side" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["curate.min_sides=3"], "unknown key min_sides; did you mean min_side?"),
        (["images.max_side=3"], "only settings of curate"),
        (["curate.copies.distance=20"], "copies.distance"),
    ],
)
def test_wrong_settings_are_one_line(settings: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        load_curate_config(None, settings)


def test_what_a_finished_dataset_lacks_is_refused(tmp_path: Path) -> None:
    old = dataset(tmp_path, {"a": jpeg(scene(1))})
    config = load_curate_config(None, ["curate.columns.punsafe.most=0.5"])
    with pytest.raises(UsageError, match="does not have the columns of its source"):
        curate(str(old), str(tmp_path / "new"), config)
    other = tmp_path / "other.parquet"
    pq.write_table(pq.read_table(old / "index.parquet"), other)
    with pytest.raises(UsageError, match="not written by finehard fingerprint"):
        curate(str(old), str(tmp_path / "new"), CurateConfig(evaluation=(str(other),)))
    gone = EmbeddingsConfig(str(tmp_path / "gone.pt"))
    with pytest.raises(FinehardError, match="no TorchScript in .*gone.pt"):
        curate(str(old), str(tmp_path / "new"), CurateConfig(embeddings=gone))
    assert not (tmp_path / "new").exists()


def test_a_missing_source_is_told_before_any_is_read(tmp_path: Path) -> None:
    images = folder(tmp_path / "set", {"a": jpeg(scene(1))})
    output = tmp_path / "prints" / "set.parquet"
    with pytest.raises(UsageError, match="gone does not exist"):
        fingerprint_images([str(images), str(tmp_path / "gone")], str(output))
    assert not output.parent.exists()
