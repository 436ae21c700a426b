"""Trains FG-CLIP on shards, in one process or in as many as torchrun starts.

The order of samples and all random choices are functions of the seed and the step, so an
interrupted run resumes exactly from its latest checkpoint: run the same command again.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from finehard.console.errors import exit_code
from finehard.digest import digest
from finehard.errors import FinehardError, UsageError
from finehard.fgclip import checkpoint, distributed, siglip2
from finehard.fgclip.accumulate import backward
from finehard.fgclip.arguments import Arguments, parse
from finehard.fgclip.card import Training, write_card
from finehard.fgclip.collapse import CollapseWatch
from finehard.fgclip.config import (
    LENGTH,
    OptimizerConfig,
    TrainConfig,
    as_dict,
    resume_difference,
    resume_fingerprint,
    scratch_clip,
    scratch_siglip2,
)
from finehard.fgclip.data import Batches, Part, Source, stream
from finehard.fgclip.distill import Teacher
from finehard.fgclip.ema import WeightAverage
from finehard.fgclip.evaluate import limits_of
from finehard.fgclip.evaluators import load_evaluators
from finehard.fgclip.gpu import Gpu
from finehard.fgclip.in_training import evaluate_samples, load_benchmarks, measure_benchmarks
from finehard.fgclip.metrics import Failure, StepMetrics
from finehard.fgclip.model import Network, build, load
from finehard.fgclip.nonfinite import describe
from finehard.fgclip.objective import Objective, begin_scales
from finehard.fgclip.optimizer import (
    freeze,
    learning_rate,
    limit_scales,
    make_optimizer,
    set_rate,
    warmup_steps,
)
from finehard.fgclip.reader import ShardReader, find_shards, find_weighted
from finehard.fgclip.run_folder import CONFIG, RunFolder, model_of
from finehard.fgclip.run_logger import RunLogger
from finehard.fgclip.sampler import Sampler, Shard
from finehard.fgclip.tokenizer import (
    Tokens,
    load_tokenizer,
    make_gemma_tokenizer,
    make_tokenizer,
    texts_of,
)

STOPPED = 143
"""Exit code after SIGTERM: 128 + 15, as in shells."""


def train(
    config: TrainConfig,
    data: Sequence[str],
    output: str | os.PathLike[str],
    model: str | None = None,
    eval_data: Sequence[str] = (),
    benchmark_data: str | None = None,
) -> dict[str, Any]:
    """Trains on the shards of `data`, as `find_weighted` reads it, and writes `output`/model.

    Starts from `model`, a model's folder or a run's, or from scratch where the config says so;
    resumes where `output`, a folder that all machines of a run share or a URI, has a checkpoint,
    and makes that run longer where the config has more steps. Steps are made smaller where there
    are too few samples. The returned dict has "step", "steps", "stopped" (by SIGTERM),
    "loss", "skipped" (samples), "dropped" (regions), with `eval_data` "evaluation", and with
    `run.evaluate`, benchmarks below the folder `benchmark_data`, "benchmarks". Raises
    `FinehardError`, also when a loss is not finite; that is noticed when it is logged.
    """
    run = config.run
    evaluators = load_evaluators(run.evaluators, "run.evaluators")
    device, world = distributed.init(), distributed.world_size()
    folder = RunFolder(os.fspath(output))
    out = folder.path
    shards, weights = find_weighted(data)
    eval_shards = find_shards(eval_data) if eval_data else []
    benchmarks = load_benchmarks(run.evaluate, benchmark_data)
    fingerprint = _fingerprint(config, shards, weights)
    network, tokenizer, state = _start(config, out, model, shards, fingerprint)
    step = state["step"] if state else 0
    freeze(network, config.optimizer.freeze)
    objective = Objective(network, config.objective).to(device).train()
    if run.gradient_checkpointing:
        network.gradient_checkpointing_enable({"use_reentrant": False})
    optimizer = make_optimizer(network, config.optimizer)
    average = None
    if config.optimizer.ema:
        average = WeightAverage(network, config.optimizer.ema, state["ema"] if state else None)
    if state:
        optimizer.load_state_dict(state["optimizer"])
        objective.threshold.copy_(state["threshold"])
    batches = _batches(config, shards, weights, tokenizer, network)
    bf16, teacher = run.precision == "bf16", None
    if config.objective.teacher is not None:
        teacher = Teacher(config.objective.teacher, network, device, bf16)
    parts = config.optimizer.accumulate
    steps = _steps(config.optimizer, batches.per_epoch // parts)
    extended = _extended(config.optimizer, state, batches.per_epoch // parts, steps, out)
    logger = None
    if distributed.rank() == 0:
        logger = RunLogger(out, step, steps, run.wandb, as_dict(config))
    if logger and extended:
        logger.print(extended)
    if logger and (extended or not state):
        (out / CONFIG).write_text(yaml.safe_dump(as_dict(config), sort_keys=False), "utf-8")
    whole: nn.Module = objective
    if world > 1:
        whole = DistributedDataParallel(objective, broadcast_buffers=False)

    patient = distributed.patient_group() if eval_shards or benchmarks else None
    evaluation = partial(
        evaluate_samples, config, evaluators, network, tokenizer, eval_shards, logger, patient
    )
    benchmarking = partial(
        measure_benchmarks, benchmarks, config, network, tokenizer, device, logger, patient
    )
    result: dict[str, Any] = {"step": step, "steps": steps, "stopped": False}
    result |= {"skipped": 0, "dropped": 0}
    metrics, gpu = StepMetrics(device), Gpu(device, run.precision)
    optimizer.found_inf = metrics.failed  # type: ignore[attr-defined]
    collapse = _collapse_watch(config, batches.images * parts, steps)

    def numbers(first: int, last: int) -> list[int]:
        return _numbers(first, last, parts, batches.per_epoch)

    feed = stream(batches, numbers(step, steps), run.workers)
    with logger or contextlib.nullcontext():
        with _stop_signal() as stop_requested:
            while step < steps and not result["stopped"]:
                rate = learning_rate(step, steps, config.optimizer)
                set_rate(optimizer, rate)
                with metrics.waiting():
                    given = [next(feed) for _ in range(parts)]
                given = [gpu.take(batch) for batch in given]
                if teacher:
                    given = [teacher.see(batch) for batch in given]
                seed = run.seed * 1_000_003 + step * world + distributed.rank()
                losses = backward(whole, objective, given, bf16, seed)
                for batch in given:
                    metrics.add(batch, losses, parts, gpu.flops(network, batch))
                norm = _clip(network, config.optimizer.clip_norm)
                step += 1
                skipped, stop = metrics.end(step, norm, stop_requested())
                optimizer.step()  # not after a failure
                limit_scales(network, config.optimizer.max_scale)
                if average:
                    average.update(step)
                network.zero_grad()
                result |= {"step": step, "stopped": stop and step < steps}
                result["skipped"] += sum(s.part == "sample" for s in skipped)
                result["dropped"] += sum(s.count for s in skipped if s.part == "regions")
                save_now = step % run.save_every == 0 or step == steps or stop
                log_now = step % run.log_every == 0 or step in (1, steps)
                if save_now or log_now:
                    values, failure = metrics.read()
                    if failure:
                        failed = numbers(failure.step - 1, failure.step)
                        samples = [s.to(device) for n in failed for s in batches.singly(n)]
                        found = describe(objective, samples, bf16)
                        raise FinehardError(_line(failure, found, out))
                    result["loss"] = values["loss"]
                if logger:
                    logger.log_skipped(step, skipped)
                    if log_now:
                        if warning := collapse.warning(step, values):
                            logger.print(f"finehard: {warning}")
                        speed = metrics.throughput()
                        use = gpu.use(speed.pop("flops_per_s"))
                        logger.log(step, values | {"lr": rate, **scales(network), **speed, **use})
                    if save_now:
                        checkpoint.save(
                            out / "checkpoints", step, objective, optimizer, tokenizer,
                            config.sample, fingerprint, run.keep, average,
                        )  # fmt: skip
                        folder.push()
                    logger.advance()
                due = run.eval_every and step % run.eval_every == 0 and step < steps
                if due and (eval_shards or benchmarks):
                    with _averaged(average):
                        evaluation(step, run.eval_samples)
                        benchmarking(step)
                    metrics.restart()
        if not result["stopped"]:
            with _averaged(average):
                if logger:
                    checkpoint.save_model(out / "model", objective, tokenizer, config.sample)
                if eval_shards:
                    result["evaluation"] = evaluation(step, None)
                if benchmarks:
                    result["benchmarks"] = benchmarking(step)
            if logger:
                total = sum(s.samples for s in shards)
                write_card(
                    out / "model",
                    Training(
                        data, total, model, as_dict(config), step, result.get("loss"), eval_data,
                        result.get("evaluation", {}),
                    ),
                )  # fmt: skip
    if logger:
        folder.push()
    return result


def _numbers(step: int, steps: int, parts: int, per_epoch: int) -> list[int]:
    """Returns the numbers of the batches of steps `step` to `steps`: `parts` a step, and no step
    with batches of two epochs."""
    whole = per_epoch // parts * parts
    return [n // whole * per_epoch + n % whole for n in range(step * parts, steps * parts)]


def scales(model: Network) -> dict[str, float]:
    """Returns the three learned scales that multiply the cosines."""
    names = ("logit_scale", "logit_scale_finegraind", "logit_scale_hardneg")
    return {name: float(getattr(model, name).detach().exp()) for name in names}


def _start(
    config: TrainConfig,
    out: Path,
    model: str | None,
    shards: list[Shard],
    fingerprint: dict[str, Any],
) -> tuple[Network, Any, dict[str, Any] | None]:
    """Returns model, tokenizer, and the state of the checkpoint they were loaded from, if any."""
    latest = checkpoint.latest(out / "checkpoints")
    if latest:
        state = checkpoint.load_state(latest)
        difference = resume_difference(state["decides"], fingerprint)
        if difference:
            raise UsageError(
                f"{out} has a run with another {difference}: give another --output, or the same "
                "data and config to resume it"
            )
        state.setdefault("threshold", torch.zeros(()))  # earlier releases: without its loss
        return load(latest.folder), load_tokenizer(latest.folder), state
    if model is not None:
        model = model_of(model)
        network = load(model)
        found = "siglip2" if isinstance(network, siglip2.FGCLIP2) else "clip"
        if config.model.backbone not in ("auto", found):
            raise UsageError(f"model.backbone is {config.model.backbone}, but {model} is {found}")
        begin_scales(network, config.objective)
        return network, load_tokenizer(model), None
    if config.scratch is None:
        raise UsageError(
            "give --model a CLIP, SigLIP 2 or FG-CLIP folder, or a config with 'scratch'"
        )
    reader = ShardReader(shards, config.run.cache_gb)
    texts = texts_of(reader, config.scratch.samples)
    if config.model.backbone == "siglip2":
        tokenizer = make_gemma_tokenizer(texts, config.scratch.vocabulary)
        torch.manual_seed(config.run.seed)
        network = siglip2.build(scratch_siglip2(config.scratch, len(tokenizer)))
    else:
        tokenizer = make_tokenizer(texts, config.scratch.vocabulary)
        torch.manual_seed(config.run.seed)
        network = build(scratch_clip(config.scratch, len(tokenizer)))
    begin_scales(network, config.objective)
    return network, tokenizer, None


def _fingerprint(config: TrainConfig, shards: list[Shard], weights: list[float]) -> dict[str, Any]:
    """Returns what the result depends on; the data counts by file names, so it may be moved.

    Weights are in it as pairs of a weight and the number of consecutive shards that have it.
    """
    data = digest([[s.uri.rsplit("/", 1)[1], s.samples] for s in shards])
    found = {**resume_fingerprint(config), "data": data}
    if any(weight != 1 for weight in weights):
        found["weights"] = [[w, len(list(same))] for w, same in groupby(weights)]
    return found


def _extended(
    config: OptimizerConfig, state: dict[str, Any] | None, per_epoch: int, steps: int, out: Path
) -> str:
    """Returns what to tell where the run of checkpoint `state` now has more steps, else "".

    Raises `UsageError` where it has fewer.
    """
    if state is None:
        return ""
    before = {name: state["decides"]["optimizer"][name] for _, name in LENGTH}
    earlier = _steps(replace(config, **before), per_epoch)
    if steps < earlier:
        name = "epochs" if config.steps is None else "steps"
        raise UsageError(
            f"{out} has a run of {earlier} steps, now {steps}: 'optimizer': {name} may only grow; "
            "give another --output"
        )
    if steps == earlier:
        return ""
    told = f"finehard: the run in {out} is extended from {earlier} to {steps} steps"
    rates = (
        (learning_rate(step, earlier, config), learning_rate(step, steps, config))
        for step in range(state["step"])
    )
    if all(was == now for was, now in rates):
        return f"{told}: the result is that of one run of {steps} steps"
    return (
        f"{told}; its first {state['step']} had the learning rates of {earlier} steps, so the "
        f"result is not that of one run of {steps} (with optimizer.schedule constant it is)"
    )


def _batches(
    config: TrainConfig, shards: list[Shard], weights: list[float], tokenizer: Any, model: Network
) -> Batches:
    total, world = config.optimizer.batch_size, distributed.world_size()
    shares = world * config.optimizer.accumulate
    if total % shares:
        raise UsageError(
            f"optimizer.batch_size {total} does not divide by {world} processes x "
            f"{config.optimizer.accumulate} parts"
        )
    limits = limits_of(model)
    run = config.run
    source = Source(shards, config.sample, limits.side, run.seed, run.cache_gb, limits.patch)
    order = Sampler(shards, run.seed, run.shuffle_shards, weights)
    if order.total < total:
        total = order.total // shares * shares
        if not total:
            raise UsageError(
                f"{order.total} samples cannot be spread over {shares} parts of a step"
            )
        if distributed.rank() == 0:
            print(f"only {order.total} samples: steps of {total} images", file=sys.stderr)
    part = Part(total // shares, distributed.rank(), world)
    return Batches(source, order, part, Tokens(tokenizer), limits)


def _steps(config: OptimizerConfig, per_epoch: int) -> int:
    steps = int(config.epochs * per_epoch)
    return max(1, steps if config.steps is None else config.steps)


def _clip(model: Network, most: float) -> Tensor:
    return nn.utils.clip_grad_norm_(model.parameters(), most if most > 0 else math.inf)


def _averaged(average: WeightAverage | None) -> contextlib.AbstractContextManager[None]:
    """Puts the averaged weights into the model, where they are kept."""
    return average.in_place() if average else contextlib.nullcontext()


def _collapse_watch(config: TrainConfig, images: int, steps: int) -> CollapseWatch:
    """Returns what watches the run; sigmoid losses have no value that tells of a collapse."""
    warmup = warmup_steps(steps, config.optimizer)
    softmax = config.objective.global_loss == "softmax"
    return CollapseWatch(images, warmup if softmax else steps)


def _line(failure: Failure, samples: str, out: Path) -> str:
    """Returns the line about a step that failed; `samples`: which are at fault."""
    latest = checkpoint.latest(out / "checkpoints")
    where = f"the last checkpoint is {latest.folder}" if latest else "there is no checkpoint"
    values = ", ".join(f"{name} is {value}" for name, value in failure.values.items())
    return f"step {failure.step}: {values}: {samples}; the step was not applied, {where}"


@contextlib.contextmanager
def _stop_signal() -> Iterator[Callable[[], bool]]:
    """Yields a function that returns whether SIGTERM was received; the step is finished first."""
    received = []
    try:
        before = signal.signal(signal.SIGTERM, lambda *_: received.append(True))
    except ValueError:  # not in the main thread, where signals are handled
        yield lambda: False
        return
    try:
        yield lambda: bool(received)
    finally:
        signal.signal(signal.SIGTERM, before)


def main(argv: list[str] | None = None) -> int:
    """Runs `finehard train`; returns its exit code."""
    return run(parse(argv))


def run(arguments: Arguments) -> int:
    """Runs `finehard train` with parsed arguments; returns its exit code."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        result = train(
            arguments.config, arguments.data, arguments.output, arguments.model,
            arguments.eval_data, arguments.benchmark_data,
        )  # fmt: skip
        first = distributed.rank() == 0
    finally:
        distributed.shutdown()
    if first:
        skipped = f", {result['skipped']} samples skipped" if result["skipped"] else ""
        skipped += f", {result['dropped']} regions dropped" if result["dropped"] else ""
        if result["stopped"]:
            print(f"stopped at step {result['step']} of {result['steps']}{skipped}; saved: run the "
                  "same command again to resume")  # fmt: skip
        else:
            print(f"{result['step']} steps done{skipped}; the model is in {arguments.output}/model")
    return STOPPED if result["stopped"] else 0


if __name__ == "__main__":  # for torchrun
    sys.exit(exit_code(main))
