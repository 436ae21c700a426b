"""docs/configuration.md: every key of a config with type, default and meaning, from the classes.

`python -m finehard.settings.reference > docs/configuration.md` writes it anew.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sys
import textwrap
import typing
from collections.abc import Iterator
from typing import Any

_INTRODUCTION = """# All keys of a build's config

Made from the code by `python -m finehard.settings.reference`; a test holds that it is true. What
the main ones are for is on the task pages ([your-images](your-images.md),
[your-models](your-models.md), [hard-negatives](hard-negatives.md), ...). `--set section.key=value`
sets any of them; a key that is not here is an error. `finehard train` has a config of its own:
[training.md](training.md).
"""

_BY_NAME = ("models", "captioners")
"""Sections of sections that have names of the user's own."""


def reference(config: type, name: str = "") -> Iterator[str]:
    """Yields the lines of the page for the dataclass `config`, which is section `name`, and for the
    sections in it."""
    told, sections = _told(config), []
    keys: list[tuple[str, str, str, str]] = []
    types = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        section = _section(types[field.name])
        if section is not None:
            sections.append((field.name, section, told.get(field.name, "")))
        else:
            keys.append((field.name, _kind(field), _default(field), told.get(field.name, "")))
    if keys:
        yield "| key | type | default | |"
        yield "|---|---|---|---|"
        for key, kind, default, text in keys:
            yield f"| `{key}` | `{_cell(kind)}` | {default} | {_cell(text)} |"
    for key, section, text in sections:
        path = f"{name}.{key}" if name else key
        yield f"\n## {path}{'.NAME' if key in _BY_NAME else ''}\n"
        for paragraph in (*(inspect.getdoc(section) or "").split("\n\n"), text):
            if paragraph:
                yield textwrap.fill(" ".join(paragraph.split()), 120, break_on_hyphens=False) + "\n"
        yield from reference(section, path)


def _section(kind: Any) -> type | None:
    """Returns the dataclass in a type such as `X`, `X | None` or `dict[str, X]`."""
    kinds = (kind, *typing.get_args(kind))
    return next((k for k in kinds if dataclasses.is_dataclass(k) and isinstance(k, type)), None)


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return f"`{_cell(repr(field.default))}`"
    if field.default_factory is not dataclasses.MISSING:
        return f"`{_cell(repr(field.default_factory()))}`"
    return "required"


def _told(config: type) -> dict[str, str]:
    """Returns what the string below each field says."""
    [made] = ast.parse(textwrap.dedent(inspect.getsource(config))).body
    assert isinstance(made, ast.ClassDef)
    told, last = {}, ""
    for statement in made.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            last = statement.target.id
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            if last:
                told[last] = " ".join(str(statement.value.value).split())
        else:
            last = ""
    return told


def _kind(field: dataclasses.Field[Any]) -> str:
    """Returns a field's type as it is written in the code."""
    kind: Any = field.type
    if typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    named = kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))
    return str(named).replace("typing.", "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def page() -> str:
    """Returns docs/configuration.md."""
    from finehard.config import Config

    return _INTRODUCTION + "\n" + "\n".join(reference(Config)) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
