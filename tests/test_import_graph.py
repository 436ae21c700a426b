"""Who imports whom: no circles, Beam in one folder, and rooms that do not know each other."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "finehard"


@cache
def _modules() -> dict[str, Path]:
    return {_name(file): file for file in sorted(PACKAGE.rglob("*.py"))}


def _name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _imports(name: str) -> frozenset[str]:
    """All that module `name` imports, in functions and under TYPE_CHECKING too; whole names."""
    names = set()
    for node in ast.walk(ast.parse(_modules()[name].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def _own(name: str) -> set[str]:
    return {imported for imported in _imports(name) if imported in _modules()} - {name}


def _room(name: str) -> str:
    return ".".join(name.split(".")[:2])


def test_no_module_imports_itself_through_others() -> None:
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name in done or name == "finehard":  # its names are loaded on first use
            return
        for imported in sorted(_own(name)):
            # a package's front lists what is in it
            if not name.startswith(f"{imported}."):
                visit(imported, (*path, name))
        done.add(name)

    for name in _modules():
        visit(name, ())


def test_beam_is_imported_in_one_folder_only() -> None:
    users = [n for n in _modules() if any(i.split(".")[0] == "apache_beam" for i in _imports(n))]
    assert users and all(_room(name) == "finehard.beam" for name in users), users


def test_packages_do_not_import_what_they_need_not_know() -> None:
    unknown = {
        "finehard.fleet": ("lmm", "stages", "beam", "worker", "state", "dataset", "detect"),
        "finehard.lmm": ("stages", "beam", "worker", "state", "dataset", "phrases", "detect"),
        "finehard.io": ("stages", "beam", "worker", "state", "dataset", "lmm", "sources"),
        "finehard.stages": ("beam", "worker", "state", "dataset", "sources", "report", "config"),
        "finehard.report": ("beam", "worker", "stages", "lmm", "sources"),
        "finehard.fgclip": ("beam", "worker", "stages", "lmm", "sources", "config"),
        "finehard.worker": ("beam", "report", "pipeline"),
    }
    wrong = [
        (name, imported)
        for name in _modules()
        for imported in _own(name)
        if _room(imported).removeprefix("finehard.") in unknown.get(_room(name), ())
    ]
    assert not wrong


def test_the_report_reads_no_journal_part() -> None:
    for name in _modules():
        if _room(name) == "finehard.report":
            assert not any("journal" in imported for imported in _imports(name)), name


def test_import_of_the_library_is_light() -> None:
    program = (
        "import finehard, sys, time\n"
        "print(time.process_time(), *(m in sys.modules for m in ('torch', 'apache_beam')))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    seconds, torch, beam = run.stdout.split()
    assert (torch, beam) == ("False", "False") and float(seconds) < 0.3
