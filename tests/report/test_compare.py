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
    keys = found["keys"]
    assert keys.pop("compared") == 16
    assert keys == {"both": 16, "first_only": 0, "second_only": 0, "other_texts": 0}
    assert found["texts"] == []
    assert all(one == other for bins in found["distributions"].values() for _, one, other in bins)
    for section in ("counts", "rejects", "dropped", "means"):
        assert all(left == right for left, right in found[section].values()) and found[section]


def test_what_differs_is_counted_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = str(dataset(tmp_path / "a")), str(other_dataset(tmp_path / "b"))
    found = compare(one, other)
    assert found["counts"]["written"] == [16, 12] and found["rejects"]["timeout"] == [3, 0]
    keys = {"both": 12, "first_only": 4, "second_only": 0, "compared": 12, "other_texts": 12}
    assert found["keys"] == keys
    assert sum(one for _, one, _ in found["distributions"]["regions"]) == 16
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


def test_shards_of_any_numbers_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from finehard.report import joined

    monkeypatch.setattr(joined, "_ROWS", 4)
    for one, other in ((6, 4), (4, 4), (3, 2)):
        made = [str(dataset(tmp_path / f"{one}-{other}-{n}", n)) for n in {one, other}]
        keys = compare(made[0], made[-1])["keys"]
        assert (keys["both"], keys["first_only"], keys["other_texts"]) == (16, 0, 0)


def test_of_many_samples_some_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finehard.report.compare._COMPARED", 4)
    one, other = str(dataset(tmp_path / "a")), str(other_dataset(tmp_path / "b"))
    found = compare(one, other)["keys"]
    assert (found["both"], found["compared"], found["other_texts"]) == (12, 4, 4)


def test_the_page_shows_texts_side_by_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = str(dataset(tmp_path / "a")), str(other_dataset(tmp_path / "b"))
    assert main(["diff", one, other, "--page", str(tmp_path / "diff.html")]) == 0
    assert "open it in a browser" in capsys.readouterr().out
    page = (tmp_path / "diff.html").read_text()
    assert page.count('class="panel reject texts-of"') == 12 and page.count("<svg") == 6
    assert "12 keys are in both" in page and "<mark>red mug</mark>" in page
    assert "&#34;red&#34;" in page and "<script" not in page
