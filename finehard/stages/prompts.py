"""Prompt templates: one versioned file per task, recorded in the dataset with its hash."""

from __future__ import annotations

import hashlib
import os
import string
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from finehard.errors import UsageError
from finehard.registry import resource


@dataclass(frozen=True)
class Prompt:
    """A template with {named} fields. `sha256` is of the whole file, front matter included."""

    name: str
    text: str
    sha256: str
    reply: str
    """The schema of the reply, where the stage knows several: `reply:` of the front matter."""

    def render(self, **values: object) -> str:
        """Returns the prompt with its fields filled; values are inserted verbatim."""
        return self.text.format(**values)


@cache
def load_prompt(name: str, task: str, fields: tuple[str, ...]) -> Prompt:
    """Returns the prompt NAME.md, finehard's own in prompts/ or a user's beside the config or the
    pipeline; or the one in file `name`, where that ends in .md.

    Raises `UsageError` when it is missing, is for another task, or names a field not in `fields`.
    """
    file = name.removesuffix(".md") + ".md"
    path = Path(name) if os.path.isfile(name) else resource("prompts", file)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text: {error.reason}") from None
    except OSError:
        raise UsageError(f"no prompt {name!r} for {task} (looked for {path})") from None
    _, front, body = (
        (text.split("---\n", 2) + ["", ""])[:3] if text.startswith("---") else ("",) * 3
    )
    try:
        meta = yaml.safe_load(front) if front else None
    except yaml.YAMLError:
        meta = None
    if not isinstance(meta, dict) or meta.get("task") != task:
        raise UsageError(f"{path}: its first lines must be '---', 'task: {task}', '---'")
    if not body.strip():
        raise UsageError(f"{path}: the prompt is empty")
    try:
        parsed = [f for f in string.Formatter().parse(body) if f[1] is not None]
        used = {f"{field}" for _, field, _, _ in parsed}
    except ValueError as error:
        raise UsageError(f"{path}: {error} (write {{{{ and }}}} for plain braces)") from None
    if unknown := sorted(used - set(fields)):
        raise UsageError(
            f"{path}: unknown field {{{unknown[0]}}}; {task} knows "
            + ", ".join("{" + field + "}" for field in fields)
        )
    if any(form or conversion for _, _, form, conversion in parsed):
        raise UsageError(f"{path}: a field is a name in braces, without ':' or '!'")
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return Prompt(Path(name).stem, body.strip(), sha256, str(meta.get("reply", task)))


def fence(text: str, limit: int = 500) -> str:
    """Returns foreign text, such as alt text, made harmless for a prompt: one bounded line.

    Control and direction-changing characters are removed, and double quotes become single, so that
    a quotation ends where the prompt ends it.
    """
    text = text[: limit * 4]
    if not (text.isascii() and text.isprintable()):
        text = "".join(
            " " if c.isspace() else c
            for c in text
            if c.isspace() or unicodedata.category(c)[0] != "C"
        )
    return " ".join(text.replace('"', "'").split())[:limit]
