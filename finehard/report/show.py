"""One sample, in the terminal and as a picture with its boxes."""

from __future__ import annotations

import difflib
import io
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from finehard.dataset.layout import INDEX, shard_of
from finehard.dataset.reader import Dataset, open_dataset
from finehard.errors import FinehardError, UsageError
from finehard.images import ImageError
from finehard.io import storage
from finehard.records import one_line
from finehard.report.diff import changed_words
from finehard.report.pictures import COLORS, drawn
from finehard.report.statistics import WHERE


def show(dataset: str, key: str, output: str | None = None) -> str:
    """Prints the texts of sample `key` and writes its picture with boxes as PNG to `output`
    (default: KEY.png here); where.

    Raises `UsageError` where no such sample is, with what is known of it.
    """
    opened = open_dataset(dataset)
    row = find(opened, key)
    sample = opened.sample(row)
    print_sample(sample)
    uri = storage.local(output or f"{key}.png")
    try:
        image = drawn(storage.read(opened.where(row, "image")), sample)
    except ImageError as error:
        raise FinehardError(f"{key}: its image cannot be shown: {error.detail}") from None
    out = io.BytesIO()
    image.save(out, "PNG")
    storage.write(uri, out.getvalue())
    Console(highlight=False).print(Text(f"picture: {uri}"), soft_wrap=True)
    return uri


def find(dataset: Dataset, key: str) -> dict[str, Any]:
    """The index row of `key`. Only the rows of its shard are read."""
    shards = [shard["name"] for shard in dataset.manifest["shards"]]
    shard = shards[shard_of(key, len(shards))]
    with storage.open_read(storage.join(dataset.uri, INDEX)) as file:
        rows = pq.read_table(file, columns=WHERE, filters=[("shard", "=", shard)]).to_pylist()
    for row in rows:
        if row["key"] == key:
            return row
    rejected = storage.join(dataset.uri, "rejected", shard.removesuffix(".tar") + ".parquet")
    if storage.exists(rejected):
        with storage.open_read(rejected) as file:
            for row in pq.read_table(file).to_pylist():
                if row["key"] == key:
                    raise UsageError(
                        f"{key} was rejected at {row['stage']} for {row['reason']}: "
                        f"{one_line(row['detail'] or '')}"
                    )
    close = difflib.get_close_matches(key, [row["key"] for row in rows], 1)
    hint = f"; did you mean {close[0]}?" if close else f"; {INDEX} lists the keys"
    raise UsageError(f"{dataset.uri} has no sample {one_line(key)}{hint}")


def print_sample(sample: dict[str, Any]) -> None:
    """The texts of a sample on standard output; what differs in a hard negative is bold."""
    console = Console(highlight=False)
    image = sample["image"]
    console.print(Text(f"{sample['key']}  {image['width']} x {image['height']} px "
                       f"{image['format']}", "bold"))  # fmt: skip
    for name in ("source_uri", "url", "license"):
        if image[name]:
            console.print(Text(f"{name}: {one_line(image[name])}", "dim"), soft_wrap=True)
    for name in ("alt_text", "short_caption", "long_caption"):
        console.print(Text.assemble((f"{name}: ", "dim"), one_line(sample[name] or "-")))
    for number, region in enumerate(sample["regions"], 1):
        color = COLORS[(number - 1) % len(COLORS)]
        x1, y1, x2, y2 = region["box"]
        console.print(
            Text.assemble(
                (f"{number} {one_line(region['short_expr'])}", f"bold {color}"),
                (f"  score {region['score']:.2f}  box {x1:.3f} {y1:.3f} {x2:.3f} {y2:.3f}"
                 f"{_verified(region['verified'])}", "dim"),
            )
        )  # fmt: skip
        console.print(Padding(Text(one_line(region["long_expr"])), (0, 2)))
        for negative in region["hard_negatives"]:
            line = Text("- ")
            pieces = changed_words(one_line(region["short_expr"]), one_line(negative["text"]))
            for text, changed in pieces:
                line.append(text + " ", "bold underline" if changed else "")
            line.append(f"({negative['attribute']}{_verified(negative['verified'])})", "dim")
            console.print(Padding(line, (0, 2)))


def _verified(verified: bool | None) -> str:
    return "" if verified is None else ", confirmed" if verified else ", not confirmed"
