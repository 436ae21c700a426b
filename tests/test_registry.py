"""What a config names: built-ins, and a user's own modules, here and on workers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from finehard import registry
from finehard.errors import UsageError


def test_a_known_name_is_loaded_lazily() -> None:
    known = {"one": lambda: 1, "never": lambda: 1 / 0}
    assert registry.load("one", known, "k") == 1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nothing", "k: 'nothing' is not one of one, nor module:attribute"),
        ("no_such_module_x:f", "k: cannot import no_such_module_x: ModuleNotFoundError"),
        ("os:no_such", "k: there is no 'no_such' in"),
    ],
)
def test_wrong_names_are_one_line_with_the_key(spec: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        registry.load(spec, {"one": lambda: 1}, "k")
    assert message in str(error.value)


def test_user_modules_run_where_their_files_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "my_package").mkdir(parents=True)
    (folder / "my_package" / "__init__.py").write_text("from my_package.part import VALUE\n")
    (folder / "my_package" / "part.py").write_text("VALUE = 5\n")
    (folder / "my_entry.py").write_text(
        "import my_package\ndef f():\n    return my_package.VALUE\n"
    )
    program = (
        "import pickle, shutil, sys\nfrom finehard import registry\n"
        f"registry.add_path({str(folder)!r})\n"
        "assert registry.load('my_entry:f', {}, 'k')() == 5\n"
        "sys.stdout.buffer.write(pickle.dumps(registry.user_code()))"
    )
    code = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)
    elsewhere = (
        "import pickle, sys\nfrom finehard import registry\n"
        "registry.install(pickle.loads(sys.stdin.buffer.read()))\n"
        "assert registry.load('my_entry:f', {}, 'k')() == 5"
    )
    subprocess.run([sys.executable, "-c", elsewhere], input=code.stdout, check=True, cwd="/")


def test_an_error_in_a_user_module_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "my_broken.py").write_text("1 / 0\n")
    registry.add_path(str(tmp_path))
    with pytest.raises(UsageError, match="cannot import my_broken: ZeroDivisionError"):
        registry.load("my_broken:f", {}, "k")
