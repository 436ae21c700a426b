"""The finehard command. Exit codes: 0 done, 1 failed (one line says why), 2 wrong arguments."""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from finehard import __version__
from finehard.cli import (
    cancel,
    curate,
    export,
    import_release,
    publish,
    push,
    remove,
    repair,
    serve_detector,
    submit,
)
from finehard.console.arguments import Parser
from finehard.console.errors import exit_code
from finehard.errors import FinehardError, UsageError

if TYPE_CHECKING:
    from finehard.config import Config


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    own, beam = _split(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in own
    own = [argument for argument in own if argument != "--debug"]
    return exit_code(lambda: _command(own, beam), debug)


def _command(own: list[str], beam: list[str]) -> int:
    parser = _parser()
    own_parsers = (["train"], ["evaluate"], ["export-features"])
    if own[:1] in own_parsers or _exports_model(own):
        return _with_own_arguments(own)
    chosen = parser.parse_args(own)
    chosen.beam = beam
    return chosen.run(chosen)


def _exports_model(own: list[str]) -> bool:
    """Returns whether `export` is given a model; that has arguments of its own."""
    return own[:1] == ["export"] and any(each.partition("=")[0] == "--model" for each in own)


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    if "--" in arguments:
        position = arguments.index("--")
        return arguments[:position], arguments[position + 1 :]
    return arguments, []


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="finehard", description=__doc__.splitlines()[0])
    parser.add_argument("--version", action="version", version=f"finehard {__version__}")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> Parser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    added = command("demo", _demo, "render scenes and build a dataset from them, without a GPU")
    added.add_argument("--output", default="out/demo", help="folder of the dataset "
                       "(default: %(default)s); the scenes are beside it")  # fmt: skip
    added.add_argument("--scenes", type=int, default=200, help="number (default: %(default)s)")
    added.add_argument("--seed", type=int, default=7, help="of the scenes (default: %(default)s)")
    _add_set(added)
    added = command("build", _build, "build a dataset; Beam options go after --")
    _add_build_arguments(added, output_required=True)
    added.add_argument("--join", action="store_true", help="build together with all processes that "
                       "run this command, on any machines: each asks its own servers about images "
                       "that no other does, and one writes the shards")  # fmt: skip
    _add_detach(added)
    added = command("submit", submit.run, submit.TEXT)
    _add_build_arguments(added, output_required=True)
    submit.add_arguments(added)
    _add_detach(added)
    added = command("cancel", cancel.run, cancel.TEXT)
    cancel.add_arguments(added)
    text = "check everything, and estimate requests, GPU hours and cost"
    added = command("plan", _plan, text)
    _add_build_arguments(added, output_required=False)
    added.add_argument("--json", action="store_true", help="print the plan as JSON")
    added.add_argument("--ask", action="store_true", help="ask every endpoint a question of each "
                       "stage: what can it do, and how fast is it?")  # fmt: skip
    added = command("fetch", _fetch, "fetch the weights of the config's detector, and check them")
    _add_config(added)
    added = command("validate", _validate, "check a dataset against the data contract; Beam options"
                    " go after --")  # fmt: skip
    added.add_argument("dataset")
    added.add_argument("--workers", type=int, metavar="N", help="processes without Beam options "
                       "(default: one a core, and fewer for few shards)")  # fmt: skip
    added = command("report", _report, "write report.html: pictures, numbers, rejects, cost")
    added.add_argument("dataset")
    added.add_argument("--output", help="file to write (default: DATASET/report.html)")
    added.add_argument("--seed", type=int, default=0, help="seed for drawing samples (default: 0)")
    added.add_argument(
        "--samples", type=int, default=24, help="number shown, 0 to 64 (default: 24)"
    )
    added = command("show", _show, "print one sample, and write a PNG with its boxes; with "
                    "--model and --text a heat map of the text over an image")  # fmt: skip
    added.add_argument("dataset", metavar="DATASET|IMAGE")
    added.add_argument("key", nargs="?", help="of the sample")
    added.add_argument("--model", help="folder of a trained model")
    added.add_argument("--text", help="what to find in the image")
    added.add_argument("-o", "--output", help="PNG to write (default: KEY.png, or heatmap.png)")
    added = command("stats", _stats, "print the numbers of a dataset")
    added.add_argument("dataset")
    added.add_argument("--json", action="store_true", help="print them as JSON")
    added.add_argument("--seed", type=int, default=0, help="seed for drawing samples (default: 0)")
    added = command(
        "audit", _audit, "measure how well texts alone give negatives away; writes audit.json"
    )
    added.add_argument("dataset", help="dataset folder, FG-OVD .jsonl or SugarCrepe .json")
    added.add_argument("--json", action="store_true", help="print the figures as JSON")
    added = command("diff", _diff, "compare two datasets: counts, drops by rule, texts")
    added.add_argument("first")
    added.add_argument("second")
    added.add_argument("--page", metavar="FILE", help="write a page of HTML, with distributions "
                       "and more texts")  # fmt: skip
    added.add_argument("--json", action="store_true", help="print the comparison as JSON")
    added = command("curate", curate.run, curate.TEXT)
    curate.add_arguments(added)
    added = command("fingerprint", curate.run_fingerprint, curate.FINGERPRINT_TEXT)
    curate.add_fingerprint_arguments(added)
    added = command("import-release", import_release.run, import_release.TEXT)
    import_release.add_arguments(added)
    added = command("repair", repair.run, repair.TEXT)
    repair.add_arguments(added)
    _add_config(added)
    care = {"export": export, "remove": remove, "publish": publish, "push": push}
    for name, module in care.items():
        added = command(name, module.run, module.TEXT)
        module.add_arguments(added)
    added = command("serve", _serve, "run the config's model server in the foreground")
    _add_config(added)
    added = command("serve-detector", serve_detector.run, serve_detector.TEXT)
    _add_config(added)
    serve_detector.add_arguments(added)
    command("train", _unreached, "train FG-CLIP on a dataset")
    command("export-features", _unreached, "write features of classes or images for detectors")
    command("evaluate", _unreached, "evaluate a model, also on benchmarks, or a dataset")
    return parser


def _add_build_arguments(command: Parser, output_required: bool) -> None:
    _add_config(command)
    command.add_argument("--input", required=True, help="folder, .tar or .parquet, local or URI")
    command.add_argument("--output", required=output_required, help="folder of the dataset")
    command.add_argument(
        "--pipeline",
        metavar="FILE.py[:FUNCTION]|NAME",
        help="pipeline to run: a file of your own, or a bundled one: build_finehard (the default), "
        "recaption (captions only)",
    )
    command.add_argument("--limit", type=int, metavar="N", help="only the first N images")


def _add_detach(command: Parser) -> None:
    command.add_argument("--detach", action="store_true", help="return once the job runs; the same "
                         "command without it watches and finishes the job")  # fmt: skip


def _add_config(command: Parser) -> None:
    command.add_argument("--config", help="YAML file or bundled config (default: demo)")
    _add_set(command)


def _add_set(command: Parser) -> None:
    command.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE",
        help="overrides one setting of the config, for example detect.score=0.3; repeatable",
    )  # fmt: skip


def _config(chosen: argparse.Namespace) -> Config:
    from finehard.config import load_config

    if chosen.config is None:
        print(
            "finehard: no --config: the demo's, whose small models know nothing but rendered "
            "scenes; for real images: --config gpu-node",
            file=sys.stderr,
        )
    return load_config(chosen.config or "demo", chosen.set)


def _build(chosen: argparse.Namespace) -> int:
    from finehard.cli.build import run_build

    run_build(
        _config(chosen), chosen.input, chosen.output, chosen.pipeline, chosen.beam, chosen.limit,
        chosen.join, chosen.detach,
    )  # fmt: skip
    return 0


def _demo(chosen: argparse.Namespace) -> int:
    from finehard.cli.demo import run_demo

    run_demo(chosen.output, chosen.scenes, chosen.seed, chosen.set, chosen.beam)
    return 0


def _plan(chosen: argparse.Namespace) -> int:
    from finehard.planning import plan

    made = plan(
        _config(chosen), chosen.input, chosen.output,
        pipeline=chosen.pipeline, beam=chosen.beam, limit=chosen.limit, ask=chosen.ask,
    )  # fmt: skip
    if chosen.json:
        stages = [stage._asdict() for stage in made.stages]
        print(json.dumps({**made._asdict(), "stages": stages}, indent=1))
    else:
        from finehard.cli.plan_table import print_plan

        print_plan(made)
    return 0


def _fetch(chosen: argparse.Namespace) -> int:
    from finehard.detect.weights import fetch_weights

    for line in fetch_weights(_config(chosen).detect):
        print(line)
    return 0


def _validate(chosen: argparse.Namespace) -> int:
    if chosen.workers is not None and chosen.workers < 1:
        raise UsageError(f"--workers {chosen.workers} is less than 1")
    if chosen.beam:
        from finehard.beam.validate import validate_on_runner

        problems = validate_on_runner(chosen.dataset, chosen.beam)
    else:
        from finehard.dataset.validate import validate

        problems = validate(chosen.dataset, chosen.workers or os.cpu_count() or 1)
    for problem in problems[:100]:
        print(problem)
    if len(problems) > 100:
        print(f"... and {len(problems) - 100} more")
    if problems:
        raise FinehardError(f"{chosen.dataset} is not valid: {len(problems)} problems")
    print(f"{chosen.dataset} is valid")
    return 0


def _report(chosen: argparse.Namespace) -> int:
    from finehard.report import report
    from finehard.report.write import size

    if not 0 <= chosen.samples <= 64:
        raise UsageError(f"--samples {chosen.samples} is not from 0 to 64")
    uri, length = report(chosen.dataset, chosen.output, chosen.seed, chosen.samples)
    print(f"{uri} ({size(length)}): open it in a browser")
    return 0


def _show(chosen: argparse.Namespace) -> int:
    if (chosen.model is None) != (chosen.text is None):
        raise UsageError("a heat map needs --model and --text")
    if (chosen.key is None) != (chosen.model is not None):
        raise UsageError("show what? finehard show DATASET KEY, or --model M --text TEXT IMAGE")
    if chosen.model is not None:
        try:
            from finehard.fgclip.heatmap import show_text
        except ImportError as error:
            raise FinehardError(f"{error}: install finehard[train]") from None
        show_text(chosen.model, chosen.text, chosen.dataset, chosen.output or "heatmap.png")
        return 0
    from finehard.report.show import show

    show(chosen.dataset, chosen.key, chosen.output)
    return 0


def _stats(chosen: argparse.Namespace) -> int:
    from finehard.report.numbers import numbers, print_numbers

    figures = numbers(chosen.dataset, chosen.seed)
    if chosen.json:
        print(json.dumps(figures, indent=1, ensure_ascii=False))
    else:
        print_numbers(figures)
    return 0


def _diff(chosen: argparse.Namespace) -> int:
    from finehard.report.compare import compare, comparison_table
    from finehard.report.compare_page import EXAMPLES, write_comparison

    if chosen.page:
        found = compare(chosen.first, chosen.second, EXAMPLES)
        print(f"{write_comparison(found, chosen.page)}: open it in a browser")
        return 0
    found = compare(chosen.first, chosen.second)
    if chosen.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        print(comparison_table(found))
    return 0


def _audit(chosen: argparse.Namespace) -> int:
    from finehard.audit import audit
    from finehard.audit.item import read_items
    from finehard.audit.store import save_audit
    from finehard.audit.table import table

    figures = audit(lambda: read_items(chosen.dataset))
    print(json.dumps(figures, indent=1) if chosen.json else table(figures))
    save_audit(chosen.dataset, figures)
    return 0


def _serve(chosen: argparse.Namespace) -> int:
    from finehard.serve import serve_forever

    config = _config(chosen)
    if config.server is None:
        raise UsageError(f"config {chosen.config} has no server section")
    serve_forever(config.server.engine)
    return 0


def _with_own_arguments(own: list[str]) -> int:
    """Runs `train`, `evaluate` or `export`, which parse their own arguments."""
    if own[0] == "evaluate" and own[1:2] == ["data"]:
        from finehard.truth.command import main as evaluate_data

        return evaluate_data(own[2:])
    if own[0] == "evaluate" and own[1:2] == ["benchmark"]:
        from finehard.benchmarks.command import main as evaluate_benchmark

        return evaluate_benchmark(own[2:])
    if own[0] == "evaluate" and own[1:2] != ["model"]:
        raise UsageError(
            "evaluate what? finehard evaluate data ..., finehard evaluate model ... or finehard "
            "evaluate benchmark ..."
        )
    if own[0] == "train":
        return _train(own[1:])
    try:
        from finehard.fgclip import evaluate, export

        if own[0] == "export-features":
            from finehard.benchmarks.export import main as export_features

            return export_features(own[1:])
    except ImportError as error:
        raise FinehardError(f"{error}: install finehard[train]") from None
    if own[0] == "export":
        return export.main(own[1:])
    return evaluate.main(own[2:])


def _train(own: list[str]) -> int:
    """Trains; arguments and config are checked before torch is imported, which takes seconds."""
    from finehard.fgclip.arguments import parse

    arguments = parse(own)
    try:
        from finehard.fgclip import train
    except ImportError as error:
        raise FinehardError(f"{error}: install finehard[train]") from None
    return train.run(arguments)


def _unreached(chosen: argparse.Namespace) -> int:
    raise AssertionError("handled before the arguments are parsed")


def run() -> None:
    """The `finehard` program."""
    code = main()
    gc.freeze()  # collecting the objects of torch and Beam at exit would take a second or two
    sys.exit(code)
