"""Shows one sample: its texts in the terminal, its image with boxes as a PNG."""

from __future__ import annotations

import difflib
import io
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from finehard.dataset.layout import INDEX
from finehard.dataset.reader import Dataset, open_dataset
from finehard.dataset.shard import Sample
from finehard.errors import FinehardError, UsageError
from finehard.images import ImageError
from finehard.io import storage
from finehard.io.parquet import read_table
from finehard.records import one_line
from finehard.report.diff import diff_words
from finehard.report.extra import extra_lines
from finehard.report.pictures import COLORS, draw_boxes


def show(dataset: str, key: str, output: str | None = None) -> str:
    """Prints the texts of sample `key` and draws its boxes into a PNG.

    Writes the PNG to `output` (default: KEY.png in the current folder), and returns its path or
    URI. Raises `UsageError` if there is no such sample, with what is known of the key.
    """
    sample = find_sample(open_dataset(dataset), key)
    print_sample(sample.json)
    uri = storage.local(output or f"{key}.png")
    try:
        image = draw_boxes(sample)
    except ImageError as error:
        raise FinehardError(f"{key}: its image cannot be shown: {error.detail}") from None
    out = io.BytesIO()
    image.save(out, "PNG")
    storage.write(uri, out.getvalue())
    Console(highlight=False).print(Text(f"picture: {uri}"), soft_wrap=True)
    return uri


def find_sample(dataset: Dataset, key: str) -> Sample:
    """The sample with `key`. Raises `UsageError`: it was rejected, or is similar to another."""
    try:
        return dataset[key]
    except KeyError:
        pass
    shard = dataset.shard_with(key)
    name = shard.rsplit("/", 1)[1].removesuffix(".tar")
    rejected = storage.join(dataset.uri, "rejected", f"{name}.parquet")
    if storage.exists(rejected):
        with storage.open_read(rejected) as file:
            for row in read_table(file).to_pylist():
                if row["key"] == key:
                    raise UsageError(
                        f"{key} was rejected at {row['stage']} for {row['reason']}: "
                        f"{one_line(row['detail'] or '')}"
                    )
    close = difflib.get_close_matches(key, dataset.located(shard).keys(), 1)
    hint = f"; did you mean {close[0]}?" if close else f"; {INDEX} lists the keys"
    raise UsageError(f"{dataset.uri} has no sample {one_line(key)}{hint}")


def print_sample(sample: dict[str, Any]) -> None:
    """Prints a sample's texts; the words that differ in a hard negative are bold."""
    console = Console(highlight=False)
    image = sample["image"]
    console.print(Text(f"{sample['key']}  {image['width']} x {image['height']} px "
                       f"{image['format']}", "bold"))  # fmt: skip
    for name in ("source_uri", "url", "license"):
        if image[name]:
            console.print(Text(f"{name}: {one_line(image[name])}", "dim"), soft_wrap=True)
    for name in ("alt_text", "short_caption", "long_caption"):
        console.print(Text.assemble((f"{name}: ", "dim"), one_line(sample[name] or "-")))
    for name, value in extra_lines(sample):
        console.print(Text.assemble((f"{one_line(name)}: ", "dim"), one_line(value)))
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
            runs = diff_words(one_line(region["short_expr"]), one_line(negative["text"]))
            for text, differs in runs:
                line.append(text + " ", "bold underline" if differs else "")
            line.append(f"({negative['attribute']}{_verified(negative['verified'])})", "dim")
            console.print(Padding(line, (0, 2)))


def _verified(verified: bool | None) -> str:
    return "" if verified is None else ", confirmed" if verified else ", not confirmed"
