"""Reads config files strictly: an unknown key or a wrong value is a one-line error."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from finehard.errors import UsageError
from finehard.io.storage import project_file

T = TypeVar("T")


def read_yaml(name: str, folder: str) -> tuple[Any, str]:
    """Returns the values in file `name`, or in the bundled `folder`/`name`.yaml, and its path.

    Raises `UsageError` when it cannot be read.
    """
    bundled = project_file(folder, f"{name}.yaml")
    path = bundled if "/" not in name and bundled.is_file() else Path(name)
    try:
        return yaml.safe_load(path.read_text("utf-8")), str(path)
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text: {error.reason}") from None
    except OSError:
        known = ", ".join(sorted(p.stem for p in bundled.parent.glob("*.yaml")))
        raise UsageError(f"no config {name!r}: give a YAML file, or one of {known}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: an impossible date
        raise UsageError(f"{path}: not YAML: {' '.join(str(error).split())}") from None


def overridden(values: Any, settings: Sequence[str], where: str) -> tuple[Any, str]:
    """Returns parsed YAML with `settings` in it, and what to call the result in messages.

    A setting is "section.key=value", to any depth, its value in YAML; later ones win. `values` is
    not changed: where it uses an alias (`llm: *vlm`), only the place that is named changes. Raises
    `UsageError`, also where a key is set inside something that is not a mapping.
    """
    for setting in settings:
        path, equals, text = setting.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise UsageError(f"--set {setting}: not a setting: give section.key=value")
        values = _with(values, keys, _value(text, setting), where, setting)
    return values, f"{where} and --set" if settings else where


def _value(text: str, setting: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise UsageError(f"--set {setting}: not a setting: its value is not YAML") from None


def _with(values: Any, keys: Sequence[str], value: Any, where: str, setting: str) -> Any:
    if not keys:
        return value
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise UsageError(f"--set {setting}: {where} has no section there, but {_short(values)}")
    inside = values.get(keys[0])
    return {**values, keys[0]: _with(inside, keys[1:], value, where, setting)}


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def checked(values: Any, kind: type[T], where: str) -> T:
    """Converts parsed YAML to the dataclass `kind`.

    Raises `UsageError`, which begins with `where`, the source of `values`.
    """
    if not isinstance(values, dict):
        raise UsageError(f"{where}: a config is a mapping of sections")
    _no_unknown_keys(values, kind, where, "")
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the config"
        problem = " ".join(first["msg"].split())
        if isinstance(first["input"], (int, float)):
            problem += f", not {first['input']}"
        raise UsageError(f"{where}: {key}: {problem[:1].lower()}{problem[1:]}") from None
    except UsageError as error:  # from a section's own checks
        raise UsageError(f"{where}: {error}") from None


def _no_unknown_keys(values: Any, kind: Any, where: str, path: str) -> None:
    if not isinstance(values, dict):
        return
    if typing.get_origin(kind) is dict:
        for name, value in values.items():
            _no_unknown_keys(value, typing.get_args(kind)[1], where, f"{path}{name}.")
        return
    kind = next((k for k in (kind, *typing.get_args(kind)) if dataclasses.is_dataclass(k)), None)
    if kind is None:
        return
    hints = typing.get_type_hints(kind)
    for name, value in values.items():
        if name not in hints:
            close = difflib.get_close_matches(str(name), hints, 1)
            hint = f"did you mean {close[0]}?" if close else "known: " + ", ".join(hints)
            raise UsageError(f"{where}: unknown key {path}{name}; {hint}")
        _no_unknown_keys(value, hints[name], where, f"{path}{name}.")
