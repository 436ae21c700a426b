"""The queries of docs/querying.md run on a dataset as they stand on the page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.dataset.finished import dataset

PAGE = (Path(__file__).parents[2] / "docs" / "querying.md").read_text("utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset."""
    return dataset(tmp_path_factory.mktemp("querying"))


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


def test_duckdb_answers_every_query(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    duckdb = pytest.importorskip("duckdb")
    monkeypatch.chdir(made)
    [sql] = _blocks("sql")
    answers = [duckdb.sql(query).fetchall() for query in sql.split(";") if query.strip()]
    assert answers[0] == [("color", 34, 0)]
    assert answers[2] == [("red", "blue", 17), ("red", "green", 17)]
    assert answers[1] == [] and len(answers[3]) == 17
    assert answers[4] == [("caption", "timeout", 3), ("caption", "not_an_image", 1)]


@pytest.mark.parametrize("tool", ["pandas", "polars", "finehard"])
def test_python_examples_run(
    tool: str, made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(tool)
    monkeypatch.chdir(made)
    [code] = [block for block in _blocks("python") if f"import {tool}" in block]
    names: dict[str, Any] = {}
    exec(code, names)
    printed = capsys.readouterr().out
    if tool == "polars":
        assert names["by_attribute"].collect().rows() == [("color", 34, 0)]
    elif tool == "pandas":
        assert names["negatives"].groupby("attribute").size().to_dict() == {"color": 34}
    else:
        assert printed.strip() == "(40, 30)"
