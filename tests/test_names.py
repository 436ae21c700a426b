"""Names of tests are short enough to read in a list of failures."""

import ast
from pathlib import Path

LONGEST = 60


def test_names_of_tests_have_at_most_60_characters() -> None:
    names = [
        node.name
        for file in Path(__file__).parent.rglob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert len(names) > 500
    assert [name for name in names if len(name) > LONGEST] == []
