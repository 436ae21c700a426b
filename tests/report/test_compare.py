"""finehard diff: what differs between two datasets, and what does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finehard.cli import main
from finehard.report.compare import compare
from tests.dataset.finished import dataset
from tests.export.made import dataset as other_dataset


def test_a_dataset_does_not_differ_from_itself(tmp_path: Path) -> None:
    made = str(dataset(tmp_path))
    found = compare(made, made)
    assert found["keys"] == {"both": 16, "first_only": 0, "second_only": 0, "other_texts": 0}
    assert found["texts"] == []
    for section in ("counts", "rejects", "dropped", "means"):
        assert all(left == right for left, right in found[section].values()) and found[section]


def test_what_differs_is_counted_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = str(dataset(tmp_path / "a")), str(other_dataset(tmp_path / "b"))
    found = compare(one, other)
    assert found["counts"]["written"] == [16, 12] and found["rejects"]["timeout"] == [3, 0]
    assert found["keys"] == {"both": 12, "first_only": 4, "second_only": 0, "other_texts": 12}
    first = found["texts"][0]
    mug = f'A "red" mug, {int(first["key"][1:])}.'
    assert first["texts"]["short_caption"] == ["a red mug", mug] and len(found["texts"]) == 5
    assert main(["diff", one, other]) == 0
    printed = capsys.readouterr().out
    assert "12 keys are in both" in printed and "counts: written" in printed
    assert main(["diff", one, other, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found


def test_a_folder_without_dataset_is_refused(tmp_path: Path) -> None:
    made = str(dataset(tmp_path / "a"))
    assert main(["diff", made, str(tmp_path / "nowhere")]) == 2
    assert main(["diff", made, str(tmp_path)]) in (1, 2)
