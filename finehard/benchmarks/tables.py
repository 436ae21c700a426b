"""Results as a table beside the published figures: text, Markdown, LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from finehard.benchmarks.benchmark import Figure
from finehard.benchmarks.published import of, published, source
from finehard.benchmarks.run import Result

_SHOWN = ("r@1", "acc1", "mean_per_class_recall", "mean_average_precision", "top1", "to_text")
"""Ends of the figures that the table has; the rest are in the JSON and below the table."""
_NAMED = 5
_LATEX = {
    **{mark: f"\\{mark}" for mark in "&%_#${}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
}

Cells = list[list[str]]


def _cells(results: Sequence[Result]) -> Cells:
    """Returns the table, its head first: a row a figure; ours, its interval, then other models."""
    rows = [(result, one) for result in results for one in result.figures if _is_shown(one)]
    values = {
        (p.model, r.benchmark, p.figure): p.value for r in results for p in of(r.published_as)
    }
    with_any = {model for model, benchmark, name in values for r, f in rows
                if (benchmark, name) == (r.benchmark, f.name)}  # fmt: skip
    models = [m for m in dict.fromkeys(p.model for p in published()) if m in with_any]
    ours = results[0].model["name"] if results else ""
    cells = [["benchmark", "figure", str(ours), "95 %", "as published", *models]]
    for result, one in rows:
        theirs = [values.get((m, result.benchmark, one.name)) for m in models]
        cells.append(
            [
                result.title,
                one.name.replace("_", " "),
                _per_cent(one.value),
                f"{_per_cent(one.low)}-{_per_cent(one.high)}",
                _per_cent(one.published),
                *map(_per_cent, theirs),
            ]
        )
    return cells


def _is_shown(one: Figure) -> bool:
    return one.name.endswith(_SHOWN)


def _per_cent(value: float | None) -> str:
    return "" if value is None else "-" if value != value else f"{100 * value:.1f}"


def text(results: Sequence[Result]) -> str:
    """Returns the table, and below it what each figure is of."""
    cells = _cells(results)
    head, rest = _two_lines(cells[0]), cells[1:]
    rows = [*head, *rest]
    width = [max(len(row[n]) for row in rows) for n in range(len(cells[0]))]
    lines = []
    for row in rows:
        aligned = [c.ljust(w) if n < 2 else c.rjust(w) for n, (c, w) in
                   enumerate(zip(row, width, strict=True))]  # fmt: skip
        lines.append("  ".join(aligned).rstrip())
    lines.insert(len(head), "-" * max(map(len, lines)))
    return "\n".join([*lines, "", *_below(results), *_sources(results)])


def _two_lines(head: list[str]) -> Cells:
    """Returns the head in two lines: a model's size below its name."""
    split = [name.rpartition(" ") if n > 4 else ("", "", name) for n, name in enumerate(head)]
    return [[first for first, _, _ in split], [last for _, _, last in split]]


def markdown(results: Sequence[Result]) -> str:
    """Returns the table in Markdown, and below it what each figure is of."""
    head, *rows = [[cell.replace("|", r"\|") for cell in row] for row in _cells(results)]
    lines = [head, ["---", "---", *["---:"] * (len(head) - 2)], *rows]
    table = ["| " + " | ".join(row) + " |" for row in lines]
    below = [f"- {line}" for line in (*_below(results), *_sources(results))]
    return "\n".join([*table, "", *below])


def latex(results: Sequence[Result]) -> str:
    """Returns the table as a LaTeX tabular; what figures are of stands before it as comments."""
    head, *rows = [["".join(_LATEX.get(c, c) for c in cell) for cell in row]
                   for row in _cells(results)]  # fmt: skip
    comments = [f"% {line}" for line in (*_below(results), *_sources(results))]
    body = [" & ".join(row) + r" \\" for row in rows]
    return "\n".join(
        [*comments, rf"\begin{{tabular}}{{ll{'r' * (len(head) - 2)}}}", r"\hline",
         " & ".join(head) + r" \\", r"\hline", *body, r"\hline", r"\end{tabular}"]
    )  # fmt: skip


def _below(results: Sequence[Result]) -> list[str]:
    lines = [_described(results[0].model)] if results else []
    for one in results:
        lines.append(f"{one.title}: {one.protocol}; {one.images:,} images")
        figures = {f.unit: f.over for f in one.figures if f.unit != "images"}
        if figures:
            lines[-1] += ", " + ", ".join(f"{n:,} {unit}" for unit, n in figures.items())
        rest = [f for f in one.figures if not _is_shown(f)]
        if rest:
            lines.append("  " + ", ".join(map(_in_words, rest)))
        lines += [f"  deviates: {line}" for line in one.deviations]
        lines += [f"  note: {line}" for line in one.notes]
        if one.missing:
            names = ", ".join(f"{m.name} ({m.reason})" for m in one.missing[:_NAMED])
            lines.append(f"  missing: {names}{', ...' if len(one.missing) > _NAMED else ''}")
    return lines


def _in_words(one: Figure) -> str:
    published = "" if one.published is None else f", as published {_per_cent(one.published)}"
    interval = f"{_per_cent(one.low)}-{_per_cent(one.high)}"
    return f"{one.name.replace('_', ' ')} {_per_cent(one.value)} ({interval}{published})"


def _described(model: dict[str, Any]) -> str:
    """Returns a line of what a model says of itself: text lengths, how boxes are encoded."""
    said = []
    for key, value in model.items():
        if isinstance(value, dict):
            value = ", ".join(f"{inner} {v}" for inner, v in value.items())
        if key != "name":
            said.append(f"{key.replace('_', ' ')}: {value}")
    return f"{model['name']}: " + "; ".join(said)


def _sources(results: Sequence[Result]) -> list[str]:
    keys = dict.fromkeys(p.source for r in results for p in of(r.published_as))
    return [f"published figures ({key}): {source(key)}" for key in keys]
