"""Prints a plan."""

from __future__ import annotations

import os

from rich import box
from rich.console import Console
from rich.table import Table

from finehard.dataset.unread import unread_line
from finehard.planning import Plan


def print_plan(plan: Plan) -> None:
    """Prints `plan` as a table on standard output."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120  # nothing is cut short in a file
    console.print(
        f"{plan.images:,} images in {plan.files} files, into {plan.shards:,} shards; mean size "
        f"{plan.width} x {plan.height} px ({plan.sampled} looked at)",
        soft_wrap=True,
    )
    if plan.unread:
        console.print(unread_line(plan.unread), soft_wrap=True, markup=False)
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("stage", "model", "requests", "prompt tokens", "completion tokens",
                   "GPU hours", plan.currency):  # fmt: skip
        table.add_column(column, justify="left" if column in ("stage", "model") else "right")
    for stage in plan.stages:
        table.add_row(
            stage.stage,
            os.path.basename(stage.model) if os.path.exists(stage.model) else stage.model,
            *(f"{n:,}" for n in (stage.requests, stage.prompt_tokens, stage.completion_tokens)),
            f"{stage.gpu_hours:,.1f}",
            f"{stage.cost:,.2f}",
        )
    totals = (
        sum(s.requests for s in plan.stages),
        sum(s.prompt_tokens for s in plan.stages),
        sum(s.completion_tokens for s in plan.stages),
    )
    table.add_section()
    table.add_row(
        "total", "", *(f"{n:,}" for n in totals), f"{plan.gpu_hours:,.1f}", f"{plan.cost:,.2f}"
    )
    console.print(table)
    for line in plan.found:
        console.print(line, soft_wrap=True)
    if plan.gpu_hours:
        console.print(f"about {plan.wall_hours:,.1f} hours on the configured GPUs", soft_wrap=True)
    else:
        console.print("no speeds in the config's prices: GPU hours and cost are unknown")
