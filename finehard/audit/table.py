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
    low, high = figures["interval"]
    lines.append(f"{'  95 %':32} {low:.3f}-{high:.3f}  {figures['verdict']}")
    if full["items"]:
        name = f"with 10 negatives ({full['items']})"
        lines.append(_row(name, full["accuracy"], full["accuracy_texts_seen"], 1 / 11))
    lines += ["", f"{'told from one negative':32} {'accuracy':>9} {'texts seen':>11} {'chance':>8}"]
    for attribute, one in figures["attributes"].items():
        name = f"{attribute} ({one['negatives']})"
        lines.append(_row(name, one["told_apart"], one["told_apart_texts_seen"], 0.5))
    lines += _of_traits(figures["traits"])
    lines += ["", "superficial signs"]
    lines += [f"{name.replace('_', ' '):32} {v:9.4f}" for name, v in figures["surface"].items()]
    lines += ["", f"{'most telling words':32} {'positives':>9} {'negatives':>11} {'z':>8}"]
    for word in figures["words"]:
        shown = f"{word['words'][:32]:32}"
        lines.append(f"{shown} {word['positives']:9d} {word['negatives']:11d} {word['z']:8.1f}")
    return "\n".join(lines)


def _of_traits(figures: dict[str, Any]) -> list[str]:
    """The lines of the second attacker."""
    lines = ["", f"{'by traits (conditional logit)':32} {'accuracy':>9} {'95 %':>13} {'chance':>8}"]
    lines.append(_with_interval(f"all texts ({figures['items']})", figures, figures["chance"]))
    for attribute, one in figures["attributes"].items():
        lines.append(_with_interval(f"one negative: {attribute} ({one['items']})", one, 0.5))
        if one["verdict"] == "leaks" and one["telling"]:
            lines.append("  by " + "; ".join(trait["trait"] for trait in one["telling"]))
    if figures["telling"]:
        lines += ["", f"{'most telling traits of true texts':42} {'weight':>8}"]
        lines += [f"{one['trait'][:42]:42} {one['weight']:8.3f}" for one in figures["telling"]]
    return lines


def _with_interval(name: str, one: dict[str, Any], chance: float) -> str:
    low, high = one["interval"]
    accuracy = one["accuracy"]
    return f"{name[:32]:32} {accuracy:9.3f}   {low:.3f}-{high:.3f} {chance:8.3f}  {one['verdict']}"


def _row(name: str, accuracy: float, seen: float, chance: float) -> str:
    return f"{name[:32]:32} {accuracy:9.3f} {seen:11.3f} {chance:8.3f}"
