"""The audit's figures as a table."""

from __future__ import annotations

from typing import Any


def table(figures: dict[str, Any]) -> str:
    """The figures of `finehard.audit.audit` as lines of text."""
    full = figures["eleven_way"]
    lines = [
        f"{figures['items']} texts, {figures['negatives']} hard negatives",
        "",
        f"{'the positive picked blind':32} {'accuracy':>9} {'texts seen':>11} {'chance':>8}",
        _row("all texts", figures["accuracy"], figures["accuracy_texts_seen"], figures["chance"]),
    ]
    if full["items"]:
        name = f"with 10 negatives ({full['items']})"
        lines.append(_row(name, full["accuracy"], full["accuracy_texts_seen"], 1 / 11))
    lines += ["", f"{'told from one negative':32} {'accuracy':>9} {'texts seen':>11} {'chance':>8}"]
    for attribute, one in figures["attributes"].items():
        name = f"{attribute} ({one['negatives']})"
        lines.append(_row(name, one["told_apart"], one["told_apart_texts_seen"], 0.5))
    lines += ["", "superficial signs"]
    lines += [f"{name.replace('_', ' '):32} {v:9.4f}" for name, v in figures["surface"].items()]
    lines += ["", f"{'most telling words':32} {'positives':>9} {'negatives':>11} {'z':>8}"]
    for word in figures["words"]:
        shown = f"{word['words'][:32]:32}"
        lines.append(f"{shown} {word['positives']:9d} {word['negatives']:11d} {word['z']:8.1f}")
    return "\n".join(lines)


def _row(name: str, accuracy: float, seen: float, chance: float) -> str:
    return f"{name[:32]:32} {accuracy:9.3f} {seen:11.3f} {chance:8.3f}"
