"""`finehard evaluate data DATASET`: measures how true a dataset is, against a truth file or labels.

With `--sheet` it writes the page to label with instead (docs/truth.md).
"""

from __future__ import annotations

import json
from typing import Any

from finehard.console.arguments import Parser
from finehard.dataset.reader import open_dataset
from finehard.errors import FinehardError, UsageError
from finehard.io import storage
from finehard.truth import read_truth
from finehard.truth.labels import measure_labels, read_labels
from finehard.truth.measure import measure


def measured(dataset: str, truth_file: str) -> dict[str, Any]:
    """The result of `measure_labels` if the file has labels, else that of `measure`, with phrases
    extracted by the default rules.

    Raises `UsageError` if the dataset or the file cannot be read or they share no image.
    """
    from finehard.phrases import PhrasesConfig, extractor

    samples = (sample.json for sample in open_dataset(dataset))
    if labels := read_labels(truth_file):
        result = measure_labels(samples, labels)
    else:
        extract = extractor(PhrasesConfig())
        truth = read_truth(truth_file)
        result = measure(samples, truth, lambda text: [p.text for p in extract(text).phrases])
    if not result["samples"]:
        raise UsageError(f"truth {truth_file}: it has none of the images of {dataset}")
    return result


def table(result: dict[str, Any]) -> str:
    """The figures as lines of name, ratio, interval where there is one, and number of items."""
    lines = [f"{result['samples']} samples with a truth, {result['missing']} images missing"]
    if "unlabelled" in result:
        lines[0] += f", {result['unlabelled']} texts and boxes without a label"
    for name, value in result["figures"].items():
        shown = "      -" if value is None else f"{value:7.3f}"
        if value is not None and "intervals" in result:
            shown += "  ({:.3f} to {:.3f})".format(*result["intervals"][name])
        lines.append(f"{name:28} {shown}  of {result['counted'][name]}")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Prints the table, and writes JSON to the file given with --json; or writes the sheet.

    Raises `UsageError` as `measured` does, and `FinehardError` if a file cannot be written.
    """
    parser = Parser(prog="finehard evaluate data", description=__doc__)
    parser.add_argument("dataset", help="a dataset folder")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--truth", help="truth.jsonl, a folder with it, or labels.jsonl")
    which.add_argument("--sheet", help="write a page (HTML) to label with to this file")
    parser.add_argument("--json", help="also write the figures to this JSON file")
    parser.add_argument("--samples", type=int, default=50, help="images of the sheet (50)")
    parser.add_argument(
        "--negatives", type=int, default=3, help="hard negatives of each region on the sheet (3)"
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other images (0)")
    args = parser.parse_args(arguments)
    if args.sheet:
        return _write_sheet(args.dataset, args.sheet, args.samples, args.negatives, args.seed)
    result = measured(args.dataset, args.truth)
    print(table(result))
    if args.json:
        _write(args.json, json.dumps(result, indent=1) + "\n")
    return 0


def _write_sheet(dataset: str, output: str, samples: int, negatives: int, seed: int) -> int:
    from finehard.truth.sheet import sheet

    if samples < 1 or negatives < 0:
        raise UsageError("--samples must be 1 or more, --negatives 0 or more")
    _write(output, sheet(open_dataset(dataset), samples, negatives, seed))
    print(f"{output}: label in a browser, save labels.jsonl, and give it as --truth")
    return 0


def _write(path: str, text: str) -> None:
    try:
        storage.write(storage.local(path), text.encode("utf-8", "replace"))
    except OSError as error:
        raise FinehardError(f"{path} cannot be written: {error.strerror or error}") from None
