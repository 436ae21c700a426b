"""`finehard evaluate benchmark`: measures a model on the world's benchmarks."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from finehard import registry
from finehard.benchmarks import tables
from finehard.benchmarks.chosen import choose, webdatasets
from finehard.benchmarks.declared import BENCHMARKS
from finehard.benchmarks.loading import load_model
from finehard.benchmarks.progress import BenchmarkProgress
from finehard.benchmarks.run import Result, run
from finehard.console.arguments import Parser
from finehard.errors import FinehardError, UsageError
from finehard.io import storage

_FORMATS = {"text": tables.text, "markdown": tables.markdown, "latex": tables.latex}


def main(arguments: list[str]) -> int:
    """Prints the table; returns the exit code. Raises `FinehardError`."""
    parser = Parser(prog="finehard evaluate benchmark", description=__doc__)
    parser.add_argument(
        "--model", help="model folder, Hub id, or open_clip:ARCHITECTURE[:PRETRAINED]"
    )
    parser.add_argument(
        "--benchmark", nargs="+", metavar="NAME",
        help="names, families (fgovd), wds/NAME for CLIP_benchmark's webdatasets, all, or "
        "module:attribute of a file in the current folder; --list shows them",
    )  # fmt: skip
    parser.add_argument("--data", metavar="ROOT", help="folder of all benchmarks; each in its own")
    parser.add_argument("--output", help="folder for results; what is finished there is kept")
    parser.add_argument("--strict", action="store_true", help="fail where an image is missing")
    parser.add_argument("--batch-size", type=int, help="images of a forward pass")
    parser.add_argument("--format", choices=[*_FORMATS, "json"], default="text",
                        help="of what is printed (default: %(default)s)")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="list the benchmarks and their folders")
    args = parser.parse_args(arguments)
    if args.list:
        _print_list(args.data)
        return 0
    if not (args.model and args.benchmark and args.data):
        raise UsageError("--model, --benchmark and --data are needed")
    if args.batch_size is not None and args.batch_size < 1:
        raise UsageError("--batch-size must be at least 1")
    registry.add_path(os.getcwd())
    root = storage.local(args.data)
    if not storage.is_dir(root):
        raise UsageError(f"--data: {args.data} is not a folder")
    chosen = choose(args.benchmark, root)
    model = load_model(args.model)
    if args.batch_size is not None:
        model.batch = args.batch_size
    output = storage.local(args.output) if args.output else None
    with BenchmarkProgress() as display:
        done = run(chosen, model, args.model, root, output, args.strict, display.start)
        for line in done.absent:
            display.line(f"not there: {line}")
    if done.results:
        _show(done.results, args.format, output)
    elif not done.failed:
        raise FinehardError(f"none of the benchmarks is below {args.data} (--list shows where)")
    if done.failed:
        raise FinehardError("; ".join(done.failed))
    return 0


def _show(results: Sequence[Result], form: str, output: str | None) -> None:
    """Prints the results, and writes them to the folder `output` in each format."""
    values = json.dumps([one.as_dict() for one in results], indent=1)
    print(values if form == "json" else _FORMATS[form](results))
    if output:
        for name, content in (
            ("table.md", tables.markdown(results)),
            ("table.tex", tables.latex(results)),
            ("results.json", values),
        ):
            storage.write(storage.join(output, name), content.encode())


def _print_list(data: str | None) -> None:
    for one in BENCHMARKS.values():
        print(f"{one.name:28} {one.folder + '/':28} {one.title}: {one.protocol}")
    for name in webdatasets(storage.local(data)) if data else ():
        print(f"wds/{name}")
