"""`finehard import-release`: the published FineHARD and a user's images as a dataset."""

from __future__ import annotations

import argparse
import sys

from finehard.console.arguments import Parser

TEXT = "make a dataset of the published FineHARD's annotations and the images that you have"


def add_arguments(command: Parser) -> None:
    """Adds the arguments of the command."""
    command.add_argument("--release", required=True, help="folder of url2key_jsons/ and jsonfiles/")
    command.add_argument("--images", required=True, help="folder of img2dataset's tars, folders or "
                         "Parquet files, or of images under their published paths")  # fmt: skip
    command.add_argument("--output", required=True, help="folder of the dataset")
    command.add_argument("--defects", default="drop", choices=("drop", "mark"), help="leave out "
                         "texts with defects, or mark them (default: %(default)s)")  # fmt: skip
    command.add_argument("--min-regions", type=int, default=0, metavar="N",
                         help="reject items with fewer regions (default: %(default)s)")  # fmt: skip
    command.add_argument("--samples-per-shard", type=int, metavar="N", help="about "
                         "(default: 1,000; 10,000 from 10 million images on)")  # fmt: skip
    command.add_argument("--workers", type=int, metavar="N", help="processes (default: one a core)")


def run(chosen: argparse.Namespace) -> int:
    """Imports, and prints what became of the items, by sub-set, and the defects found."""
    from finehard.dataset.layout import ShardsConfig
    from finehard.errors import UsageError
    from finehard.release.importing import ReleaseConfig, import_release

    for name, least in (("min_regions", 0), ("samples_per_shard", 1), ("workers", 1)):
        value = getattr(chosen, name)
        if value is not None and value < least:
            raise UsageError(f"--{name.replace('_', '-')} {value} is less than {least}")
    config = ReleaseConfig(
        defects=chosen.defects,
        shards=ShardsConfig(chosen.samples_per_shard, chosen.min_regions),
    )
    imported = import_release(
        chosen.release, chosen.images, chosen.output, config, chosen.workers,
        lambda line: print(f"finehard: {line}", file=sys.stderr),
    )  # fmt: skip
    print(f"{'sub-set':16} {'items':>12} {'written':>12} {'no image':>12} {'rejected':>12}")
    for name, of in imported.subsets.items():
        missing = of.get("missing_image", 0)
        others = of["items"] - of["written"] - missing
        print(f"{name:16} {of['items']:12,} {of['written']:12,} {missing:12,} {others:12,}")
    for title, found in (("rejected", imported.manifest["rejects"]),
                         ("defects", imported.manifest["dropped"]),
                         ("not read", imported.manifest.get("unread", {}))):  # fmt: skip
        for rule, number in sorted(found.items(), key=lambda each: -each[1]):
            print(f"{title}: {number:,} {rule}")
    counts = imported.manifest["counts"]
    print(
        f"{counts['read']:,} items = {counts['written']:,} samples + {counts['rejected']:,} "
        f"rejects; {counts['regions']:,} regions, {counts['hard_negatives']:,} hard negatives"
    )
    return 0
