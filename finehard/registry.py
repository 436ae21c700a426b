"""Finds what a config or the command line names: a built-in, or a user's own as module:attribute.

A user's modules may be files in a folder that was added with `add_path`, usually that of the
config. What was imported from such files can be sent to workers (`user_code`, `install`), so that
the same names work there without the files.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from finehard.errors import UsageError, typed_error_line
from finehard.io.storage import project_file

T = TypeVar("T")


class UserCode(NamedTuple):
    """The user's modules as source text, by module name; packages have a name ending in a dot."""

    sources: dict[str, str] = {}


def load(spec: str, known: Mapping[str, Callable[[], T]], key: str) -> T:
    """Returns what `spec` names: `known[spec]()`, or the attribute of "module:attribute".

    The functions in `known` import what they return, so that nothing is imported that is not used.
    Raises `UsageError`, which begins with the config key `key`.
    """
    if spec in known:
        return known[spec]()
    module, colon, attribute = spec.partition(":")
    if not (module and colon and attribute):
        raise UsageError(f"{key}: {spec!r} is not one of {', '.join(known)}, nor module:attribute")
    value: Any = import_module(module, key)
    for name in attribute.split("."):
        try:
            value = getattr(value, name)
        except AttributeError:
            where = getattr(sys.modules[module], "__file__", None) or module
            raise UsageError(f"{key}: there is no {name!r} in {where}") from None
    return value


def import_module(name: str, key: str) -> Any:
    """Imports module `name`. Raises `UsageError`, which begins with `key`, when that fails."""
    try:
        return importlib.import_module(name)
    except Exception as error:  # a user's module can fail in any way
        raise UsageError(f"{key}: cannot import {name}: {typed_error_line(error)}") from None


def add_path(folder: str) -> None:
    """Makes the Python files in `folder` importable; installed modules come before them."""
    folder = os.path.abspath(folder)
    if folder not in _finder.folders:
        _finder.folders.append(folder)
        importlib.invalidate_caches()


def resource(folder: str, name: str) -> Path:
    """Returns where the prompt or schema `name` is: in finehard's `folder`, or in one given to
    `add_path`; where there is none, the path in finehard's."""
    bundled = project_file(folder, name)
    places = (bundled, *(Path(added, name) for added in _finder.folders))
    return next((path for path in places if path.is_file()), bundled)


def user_code() -> UserCode:
    """Returns the source of every module imported so far from a folder given to `add_path`."""
    return UserCode(dict(_finder.sources))


def install(code: UserCode) -> None:
    """Makes the modules in `code` importable in this process, where it has no files for them."""
    _finder.sources.update(code.sources)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports modules from the added folders, remembering their source, or from such sources."""

    def __init__(self) -> None:
        self.folders: list[str] = []
        self.sources: dict[str, str] = {}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        source = self._source(name)
        if source is None:
            return None
        package = f"{name}." in self.sources
        spec = importlib.util.spec_from_loader(name, self, is_package=package)
        if spec is not None:
            spec.origin = self._file(name)
        return spec

    def _source(self, name: str) -> str | None:
        if name not in self.sources and f"{name}." not in self.sources:
            if (file := self._file(name)) is None:
                return None
            with open(file, encoding="utf-8") as opened:
                text = opened.read()
            self.sources[f"{name}." if file.endswith("__init__.py") else name] = text
        return self.sources.get(name, self.sources.get(f"{name}."))

    def _file(self, name: str) -> str | None:
        parts = name.split(".")
        for folder in self.folders:
            for end in (f"{parts[-1]}.py", os.path.join(parts[-1], "__init__.py")):
                file = os.path.join(folder, *parts[:-1], end)
                if os.path.isfile(file):
                    return file
        return None

    def get_source(self, fullname: str) -> str | None:
        return self._source(fullname)

    def is_package(self, fullname: str) -> bool:
        return f"{fullname}." in self.sources

    def exec_module(self, module: Any) -> None:
        name = module.__name__
        module.__file__ = self._file(name) or f"<{name}, sent by the command>"
        exec(compile(self._source(name) or "", module.__file__, "exec"), module.__dict__)


_finder = _Finder()
sys.meta_path.append(_finder)
