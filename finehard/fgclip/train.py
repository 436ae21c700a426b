"""Trains FG-CLIP on shards. One process, or as many as torchrun starts.

The order of samples and all choices are functions of the seed and the step, so a run that was
stopped goes on from its last checkpoint as if nothing had happened: run the same command again.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from finehard.console.arguments import Parser
from finehard.digest import digest
from finehard.errors import FinehardError, UsageError
from finehard.fgclip import checkpoint, ranks
from finehard.fgclip.config import (
    OptimizerConfig,
    TrainConfig,
    as_dict,
    load_train_config,
    scratch_clip,
    what_decides,
)
from finehard.fgclip.data import Batches, Part, Source, stream
from finehard.fgclip.evaluate import evaluate, limits_of, table
from finehard.fgclip.meter import Meter
from finehard.fgclip.model import FGCLIP, build, load
from finehard.fgclip.objective import Objective
from finehard.fgclip.optimizer import learning_rate, make_optimizer
from finehard.fgclip.order import Order, Shard
from finehard.fgclip.reader import ShardReader, find_shards
from finehard.fgclip.record import Record
from finehard.fgclip.tokenizer import Tokens, load_tokenizer, make_tokenizer, texts_of

STOPPED = 143
"""Exit code after SIGTERM: 128 + 15, as shells have it."""


def train(
    config: TrainConfig,
    data: Sequence[str],
    output: str | os.PathLike[str],
    model: str | None = None,
    eval_data: Sequence[str] = (),
) -> dict[str, Any]:
    """Trains on the shards of the `data` folders; returns what it came to.

    Starts from folder `model`, or from scratch where the config says so; goes on where a
    checkpoint lies in `output`, which all machines of a run must see. Steps are made smaller where
    there are too few samples. The model ends in `output`/model. The returned dict has "step",
    "steps", "stopped" (a SIGTERM came), "loss", "skipped", and with `eval_data` "evaluation".
    Raises `FinehardError`, also when a loss is no number.
    """
    run, out = config.run, Path(output)
    device = ranks.join()
    shards = find_shards(data)
    eval_shards = find_shards(eval_data) if eval_data else []
    network, tokenizer, state = _start(config, out, model, shards)
    step = state["step"] if state else 0
    objective = Objective(network, config.objective).to(device).train()
    if run.gradient_checkpointing:
        network.gradient_checkpointing_enable({"use_reentrant": False})
    optimizer = make_optimizer(network, config.optimizer, device)
    if state:
        optimizer.load_state_dict(state["optimizer"])
        objective.margins.copy_(state["margins"])
    batches = _batches(config, shards, tokenizer, network)
    parts = config.optimizer.accumulate
    steps = _steps(config.optimizer, batches.per_epoch // parts)
    record = Record(out, step, steps) if ranks.rank() == 0 else None
    if record and not state:
        (out / "config.yaml").write_text(yaml.safe_dump(as_dict(config), sort_keys=False), "utf-8")
    whole: nn.Module = objective
    if ranks.world() > 1:
        whole = DistributedDataParallel(objective, broadcast_buffers=False)

    result: dict[str, Any] = {"step": step, "steps": steps, "stopped": False, "skipped": 0}
    meter = Meter(device)
    feed = stream(batches, range(step * parts, steps * parts), run.workers)
    with _stop_signal() as asked_to_stop:
        while step < steps and not result["stopped"]:
            torch.manual_seed(run.seed * 1_000_003 + step * ranks.world() + ranks.rank())
            rate = learning_rate(step, steps, config.optimizer)
            for group in optimizer.param_groups:
                group["lr"] = rate
            for part in range(parts):
                with meter.waiting():
                    batch = next(feed)
                batch = batch.to(device)
                with (
                    _apart(whole, part == parts - 1),
                    torch.autocast(device.type, torch.bfloat16, enabled=run.precision == "bf16"),
                ):
                    losses = whole(batch)
                (losses["loss"] / parts).backward()
                meter.add(batch, losses, parts)
            norm = _clip(network, config.optimizer.clip_norm)
            step += 1
            values, skipped, stop = meter.read(norm, asked_to_stop())
            bad = [name for name, value in values.items() if not math.isfinite(value)]
            if bad:
                raise FinehardError(
                    f"step {step}: {', '.join(f'{n} is {values[n]}' for n in bad)}; the step was "
                    f"not taken, {_last(out)}; its first sample is {batch.keys[0]}"
                )
            optimizer.step()
            network.zero_grad()
            result |= {"step": step, "loss": values["loss"], "stopped": stop and step < steps}
            result["skipped"] += len(skipped)
            save_now = step % run.save_every == 0 or step == steps or stop
            if record:
                record.skipped(step, skipped)
                if step % run.log_every == 0 or step in (1, steps):
                    record.row(step, {**values, "lr": rate, **scales(network), **meter.speed()})
                if save_now:
                    checkpoint.keep(
                        out / "checkpoints", step, objective, optimizer, tokenizer, config.sample,
                        _decides(config, shards), run.keep,
                    )  # fmt: skip
                record.step_done()
            if eval_shards and run.eval_every and step % run.eval_every == 0 and step < steps:
                _evaluate(config, network, tokenizer, eval_shards, step, record, run.eval_samples)
                meter.restart()
    if not result["stopped"]:
        if record:
            checkpoint.save_model(out / "model", objective, tokenizer, config.sample)
        if eval_shards:
            figures = _evaluate(config, network, tokenizer, eval_shards, step, record, None)
            result["evaluation"] = figures
    if record:
        record.close()
    return result


def _apart(whole: nn.Module, last: bool) -> contextlib.AbstractContextManager[None]:
    """Gradients travel between processes with a step's last part only."""
    if last or not isinstance(whole, DistributedDataParallel):
        return contextlib.nullcontext()
    return whole.no_sync()


def scales(model: FGCLIP) -> dict[str, float]:
    """The three learned scales, as they multiply the cosines."""
    names = ("logit_scale", "logit_scale_finegraind", "logit_scale_hardneg")
    return {name: float(getattr(model, name).detach().exp()) for name in names}


def _start(
    config: TrainConfig, out: Path, model: str | None, shards: list[Shard]
) -> tuple[FGCLIP, Any, dict[str, Any] | None]:
    """Model, tokenizer, and the state of the checkpoint that they come from, if any."""
    found = checkpoint.newest(out / "checkpoints")
    if found:
        state = checkpoint.state_of(found)
        before, now = state["decides"], _decides(config, shards)
        if before != now:
            section = next(k for k in now if now[k] != before.get(k))
            raise UsageError(
                f"{out} holds a run with another {section!r}: give another --output, or the same "
                "data and config to go on with it"
            )
        return load(found.folder), load_tokenizer(found.folder), state
    if model is not None:
        return load(model), load_tokenizer(model), None
    if config.scratch is None:
        raise UsageError("give --model a CLIP or FG-CLIP folder, or a config with 'scratch'")
    reader = ShardReader(shards, config.run.cache_gb)
    texts = texts_of(reader, config.scratch.samples)
    tokenizer = make_tokenizer(texts, config.scratch.vocabulary)
    torch.manual_seed(config.run.seed)
    return build(scratch_clip(config.scratch, len(tokenizer))), tokenizer, None


def _decides(config: TrainConfig, shards: list[Shard]) -> dict[str, Any]:
    """What the result depends on. Data may move to another place between two runs."""
    data = digest([[s.uri.rsplit("/", 1)[1], s.samples] for s in shards])
    return {**what_decides(config), "data": data}


def _batches(config: TrainConfig, shards: list[Shard], tokenizer: Any, model: FGCLIP) -> Batches:
    total, world = config.optimizer.batch_size, ranks.world()
    shares = world * config.optimizer.accumulate
    if total % shares:
        raise UsageError(
            f"optimizer.batch_size {total} does not divide by {world} processes x "
            f"{config.optimizer.accumulate} parts"
        )
    limits = limits_of(model)
    run = config.run
    source = Source(shards, config.sample, limits.side, run.seed, run.cache_gb)
    order = Order(shards, run.seed, run.shuffle_shards)
    if order.total < total:
        total = order.total // shares * shares
        if not total:
            raise UsageError(
                f"{order.total} samples cannot be spread over {shares} parts of a step"
            )
        if ranks.rank() == 0:
            print(f"only {order.total} samples: steps of {total} images", file=sys.stderr)
    part = Part(total // shares, ranks.rank(), world)
    batches = Batches(source, order, part, Tokens(tokenizer), limits)
    return batches


def _steps(config: OptimizerConfig, per_epoch: int) -> int:
    steps = int(config.epochs * per_epoch)
    return max(1, steps if config.steps is None else config.steps)


def _clip(model: FGCLIP, most: float) -> float:
    norm = nn.utils.clip_grad_norm_(model.parameters(), most if most > 0 else math.inf)
    return float(norm)


def _last(out: Path) -> str:
    kept = checkpoint.newest(out / "checkpoints")
    return f"the last checkpoint is {kept.folder}" if kept else "there is no checkpoint"


def _evaluate(
    config: TrainConfig,
    model: FGCLIP,
    tokenizer: Any,
    shards: list[Shard],
    step: int,
    record: Record | None,
    samples: int | None,
) -> dict[str, float]:
    """In the first process only; the others wait in the next step's gather."""
    if record is None:
        return {}
    figures = evaluate(
        model, tokenizer, shards, config.sample, samples=samples, workers=config.run.workers,
        cache_gb=config.run.cache_gb,
    )  # fmt: skip
    record.row(step, figures, "eval")
    record.say(f"step {step}\n{table(figures)}")
    return figures


@contextlib.contextmanager
def _stop_signal() -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether SIGTERM came; the step in work is finished first."""
    came = []
    try:
        before = signal.signal(signal.SIGTERM, lambda *_: came.append(True))
    except ValueError:  # not in the main thread: then nobody can send us a signal
        yield lambda: False
        return
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGTERM, before)


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = Parser(
        prog="finehard train",
        description="Trains FG-CLIP on shards. Start it with torchrun for more than one process.",
    )
    parser.add_argument("--data", required=True, nargs="+", help="dataset folders or URIs")
    parser.add_argument("--output", required=True, help="folder of the run; goes on with it")
    parser.add_argument("--model", help="CLIP or FG-CLIP folder to start from")
    parser.add_argument(
        "--config", help="YAML file or bundled recipe; finehard with --model, else demo"
    )
    parser.add_argument("--eval-data", nargs="+", default=[], help="datasets to evaluate on")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE",
        help="changes one setting, for example optimizer.lr=1e-5",
    )  # fmt: skip
    args = parser.parse_args(argv)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    recipe = args.config or ("finehard" if args.model else "demo")
    config = load_train_config(recipe, args.set)
    try:
        result = train(config, args.data, args.output, args.model, args.eval_data)
        first = ranks.rank() == 0
    finally:
        ranks.leave()
    if first:
        skipped = f", {result['skipped']} samples skipped" if result["skipped"] else ""
        if result["stopped"]:
            print(f"stopped at step {result['step']} of {result['steps']}{skipped}; saved: run the "
                  "same command again to go on")  # fmt: skip
        else:
            print(f"{result['step']} steps done{skipped}; the model is in {args.output}/model")
    return STOPPED if result["stopped"] else 0


if __name__ == "__main__":
    from finehard.cli import main as finehard

    sys.exit(finehard(["train", *sys.argv[1:]]))
