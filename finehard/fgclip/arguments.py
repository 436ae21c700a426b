"""The arguments of `finehard train`, checked with the config they name; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from finehard.console.arguments import Parser
from finehard.fgclip.config import TrainConfig, load_train_config


@dataclass(frozen=True)
class Arguments:
    """What `finehard train` was asked for: `finehard.fgclip.train.train`'s arguments."""

    config: TrainConfig
    data: list[str]
    output: str
    model: str | None
    eval_data: list[str]
    benchmark_data: str | None


def parse(argv: list[str] | None = None) -> Arguments:
    """Returns the arguments in `argv`, by default the program's. Raises `UsageError`."""
    parser = Parser(
        prog="finehard train",
        description="Trains FG-CLIP on shards. For several processes, start it with torchrun.",
    )
    parser.add_argument(
        "--data", required=True, nargs="+", action="extend", metavar="DATASET[=WEIGHT]",
        help="dataset folders or URIs; of one with a weight, each sample is so often in an epoch",
    )  # fmt: skip
    parser.add_argument("--output", required=True, help="folder of the run; a run in it is resumed")
    parser.add_argument(
        "--model", help="CLIP, SigLIP 2 or FG-CLIP folder, or a run's folder, to start from"
    )
    parser.add_argument(
        "--config", help="YAML file or bundled recipe (default: finehard with --model, else demo)"
    )
    parser.add_argument(
        "--eval-data", nargs="+", action="extend", default=[], help="datasets to evaluate on"
    )
    parser.add_argument(
        "--benchmark-data", metavar="ROOT", help="folder of the benchmarks in run.evaluate"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE",
        help="overrides one setting, for example optimizer.lr=1e-5",
    )  # fmt: skip
    args = parser.parse_args(argv)
    recipe = args.config or ("finehard" if args.model else "demo")
    return Arguments(
        load_train_config(recipe, args.set), args.data, args.output, args.model, args.eval_data,
        args.benchmark_data,
    )  # fmt: skip
