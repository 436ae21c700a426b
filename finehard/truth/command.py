"""`finehard evaluate data DATASET --truth SCENES`: how true a dataset is."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from typing import Any

from finehard.console.arguments import Parser
from finehard.errors import UsageError
from finehard.io import storage
from finehard.truth import read_truth
from finehard.truth.measure import NAMES, measure


def samples(dataset: str) -> Iterator[dict[str, Any]]:
    """Every sample's JSON in the dataset's shards. Raises `UsageError` when there is none."""
    shards = [
        file.uri
        for file in storage.glob(storage.join(dataset, "shards"), "")
        if file.uri.endswith(".tar")
    ]
    if not shards:
        raise UsageError(f"dataset {dataset}: no shards/*.tar in it")
    for shard in shards:
        with storage.open_read(shard) as file, tarfile.open(fileobj=file) as tar:
            for member in tar:
                data = tar.extractfile(member) if member.name.endswith(".json") else None
                if data is not None:
                    yield json.load(data)


def measured(dataset: str, truth_file: str) -> dict[str, Any]:
    """What `measure` gives for the dataset, with the phrases that the build's rules find. Raises
    `UsageError` on unusable input."""
    from finehard.phrases import PhrasesConfig, extractor

    extract = extractor(PhrasesConfig())
    truth = read_truth(truth_file)
    result = measure(samples(dataset), truth, lambda text: [p.text for p in extract(text).phrases])
    if not result["samples"]:
        raise UsageError(f"truth {truth_file}: it knows none of the images of {dataset}")
    return result


def table(result: dict[str, Any]) -> str:
    """The figures as lines of name, figure, and how many were counted."""
    lines = [f"{result['samples']} samples with a truth, {result['missing']} images missing"]
    for name in NAMES:
        value = result["figures"][name]
        shown = "      -" if value is None else f"{value:7.3f}"
        lines.append(f"{name:28} {shown}  of {result['counted'][name]}")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Prints the table, writes JSON where asked. Raises `UsageError` on unusable input."""
    parser = Parser(prog="finehard evaluate data", description=__doc__)
    parser.add_argument("dataset", help="a dataset folder")
    parser.add_argument("--truth", required=True, help="truth.jsonl, or a folder that has it")
    parser.add_argument("--json", help="where to write the figures as JSON")
    args = parser.parse_args(arguments)
    result = measured(args.dataset, args.truth)
    print(table(result))
    if args.json:
        storage.write(args.json, (json.dumps(result, indent=1) + "\n").encode())
    return 0
