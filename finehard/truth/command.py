"""`finehard evaluate data DATASET --truth FILE`: measures how true a dataset is."""

from __future__ import annotations

import json
from typing import Any

from finehard.console.arguments import Parser
from finehard.dataset.reader import open_dataset
from finehard.errors import UsageError
from finehard.io import storage
from finehard.truth import read_truth
from finehard.truth.measure import NAMES, measure


def measured(dataset: str, truth_file: str) -> dict[str, Any]:
    """The result of `measure` for the dataset, with phrases extracted by the default rules.

    Raises `UsageError` if the dataset or the truth file cannot be read or they share no image.
    """
    from finehard.phrases import PhrasesConfig, extractor

    extract = extractor(PhrasesConfig())
    truth = read_truth(truth_file)
    samples = (sample.json for sample in open_dataset(dataset))
    result = measure(samples, truth, lambda text: [p.text for p in extract(text).phrases])
    if not result["samples"]:
        raise UsageError(f"truth {truth_file}: it has none of the images of {dataset}")
    return result


def table(result: dict[str, Any]) -> str:
    """The figures as lines of name, ratio, and number of items."""
    lines = [f"{result['samples']} samples with a truth, {result['missing']} images missing"]
    for name in NAMES:
        value = result["figures"][name]
        shown = "      -" if value is None else f"{value:7.3f}"
        lines.append(f"{name:28} {shown}  of {result['counted'][name]}")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Prints the table, and writes JSON to the file given with --json, nothing else.

    Raises `UsageError` as `measured` does.
    """
    parser = Parser(prog="finehard evaluate data", description=__doc__)
    parser.add_argument("dataset", help="a dataset folder")
    parser.add_argument("--truth", required=True, help="truth.jsonl, or a folder with it")
    parser.add_argument("--json", help="also write the figures to this JSON file")
    args = parser.parse_args(arguments)
    result = measured(args.dataset, args.truth)
    print(table(result))
    if args.json:
        storage.write(storage.local(args.json), (json.dumps(result, indent=1) + "\n").encode())
    return 0
