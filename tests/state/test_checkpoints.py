"""What a unit came to is taken from its checkpoint only where it is whole and of the same input."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finehard.errors import FinehardError
from finehard.records import Bytes
from finehard.state import checkpoints
from finehard.state.checkpoints import Checkpoint, Row

UNIT = "ab34"


def _saved(folder: str, count: int = 3, may_pass: int = 0) -> Checkpoint:
    uri = checkpoints.new_records(folder, UNIT)
    Path(folder).mkdir(parents=True, exist_ok=True)
    Path(uri).write_bytes(bytes(10 * count))
    rows = tuple(
        Row(f"k{i}", f"/in/a.tar#{i}\udcff", Bytes(uri, 10 * i, 10), i < may_pass, i < may_pass)
        for i in range(count)
    )
    made = Checkpoint("same", rows)
    checkpoints.save(folder, UNIT, made)
    return made


def _folder(tmp_path: Path, settings: str = "s") -> str:
    return checkpoints.folder_of(str(tmp_path), settings, UNIT)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    assert checkpoints.load(folder, UNIT, "same") is None
    made = _saved(folder, may_pass=1)
    loaded = checkpoints.load(folder, UNIT, "same")
    assert loaded == made
    assert [row.key for row in loaded.settled()] == ["k1", "k2"]
    assert loaded.sources_to_try() == {"/in/a.tar#0\udcff"}


def test_another_input_is_not_through(tmp_path: Path) -> None:
    _saved(_folder(tmp_path))
    assert checkpoints.load(_folder(tmp_path), UNIT, "other") is None
    assert checkpoints.load(_folder(tmp_path), "ab35", "same") is None


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0, 1, exclude_max=True), st.booleans())
def test_a_damaged_index_is_no_checkpoint(tmp_path: Path, where: float, cut: bool) -> None:
    folder = _folder(tmp_path)
    _saved(folder)
    index = Path(folder, f"{UNIT}.index")
    whole = index.read_bytes()
    at = int(where * len(whole))
    if cut:
        index.write_bytes(whole[:at])
    else:
        index.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    assert checkpoints.load(folder, UNIT, "same") is None


def test_a_checkpoint_needs_all_its_records(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    made = _saved(folder)
    records = Path(made.rows[0].where.uri)
    records.write_bytes(records.read_bytes()[:-1])
    assert checkpoints.load(folder, UNIT, "same") is None
    records.unlink()
    assert checkpoints.load(folder, UNIT, "same") is None


def test_a_forgotten_unit_is_read_again(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    made = _saved(folder)
    checkpoints.forget(str(tmp_path / "_records" / "1234.bin"))  # a side file of another kind
    assert checkpoints.load(folder, UNIT, "same") is not None
    checkpoints.forget(made.rows[0].where.uri)
    assert checkpoints.load(folder, UNIT, "same") is None


def test_other_settings_begin_without_checkpoints(tmp_path: Path) -> None:
    output = str(tmp_path)
    checkpoints.prepare(output, "s")
    _saved(_folder(tmp_path))
    checkpoints.prepare(output, "s")
    assert checkpoints.load(_folder(tmp_path), UNIT, "same") is not None
    checkpoints.prepare(output, "t")
    assert not Path(_folder(tmp_path)).exists()


def test_a_store_that_fails_is_no_missing_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(uri: str) -> bytes:
        raise PermissionError(13, "Permission denied", uri)

    monkeypatch.setattr(checkpoints.storage, "read_all", fails)
    with pytest.raises(FinehardError, match="cannot read checkpoints in"):
        checkpoints.load(_folder(tmp_path), UNIT, "same")
