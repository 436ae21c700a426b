"""The audit as a table for people."""

from __future__ import annotations

from typing import Any


def table(found: dict[str, Any]) -> str:
    """`finehard.audit.audit`'s figures as lines."""
    full = found["eleven_way"]
    lines = [
        f"{found['items']} texts, {found['negatives']} hard negatives",
        "",
        f"{'the positive picked blind':32} {'accuracy':>9} {'texts seen':>11} {'chance':>8}",
        _row("all texts", found["accuracy"], found["accuracy_texts_seen"], found["chance"]),
    ]
    if full["items"]:
        name = f"with 10 negatives ({full['items']})"
        lines.append(_row(name, full["accuracy"], full["accuracy_texts_seen"], 1 / 11))
    lines += ["", f"{'told from one negative':32} {'accuracy':>9} {'texts seen':>11} {'chance':>8}"]
    for attribute, one in found["attributes"].items():
        name = f"{attribute} ({one['negatives']})"
        lines.append(_row(name, one["told_apart"], one["told_apart_texts_seen"], 0.5))
    lines += ["", "outward signs"]
    lines += [f"{name.replace('_', ' '):32} {v:9.4f}" for name, v in found["surface"].items()]
    lines += ["", f"{'most telling words':32} {'positives':>9} {'negatives':>11} {'z':>8}"]
    for word in found["words"]:
        shown = f"{word['words'][:32]:32}"
        lines.append(f"{shown} {word['positives']:9d} {word['negatives']:11d} {word['z']:8.1f}")
    return "\n".join(lines)


def _row(name: str, accuracy: float, seen: float, chance: float) -> str:
    return f"{name[:32]:32} {accuracy:9.3f} {seen:11.3f} {chance:8.3f}"
