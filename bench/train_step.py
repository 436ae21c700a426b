"""A training step with padded texts, as published, against ours: images/s, peak memory, loss.

Besides, the FLOPs of a step, counted without computing it, at the same batch and at 512 images; the
share that a step reaches of what matrix multiplication alone does in the same time; the operations
of the attention of a text layer at 512 images, in two groups of rows and with a group for each
length; and how often a step waits for a value of the device.

Each arm runs in its own process: same weights, same images, boxes and texts, full step (forward,
backward, AdamW), no gradient checkpointing. The texts are as long as FineHARD's:
region phrases of about 8 tokens, negatives that differ from them in one token, short captions of
about 25 and long ones of about 200. Prints a table and the figure against its goal.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from torchvision.ops import roi_align
from transformers import CLIPConfig

from finehard.fgclip import losses, packing
from finehard.fgclip.batch import Batch
from finehard.fgclip.flops import matrix_rate
from finehard.fgclip.model import FGCLIP, build
from finehard.fgclip.modeling_fgclip import UNSTRETCHED
from finehard.fgclip.objective import Objective, ObjectiveConfig
from finehard.fgclip.packing import LONG, SHORT, pack

GOAL_SPEED, GOAL_MEMORY = 6.0, 0.5
SIZES = {
    "vit-b-16": {},
    "tiny": {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128,
             "num_attention_heads": 4},
}  # fmt: skip
BEGIN, END = 49406, 49407
REGIONS, NEGATIVES = 4, 10
WITHOUT_KERNEL = (torch.ops.aten._unsafe_view.default, torch.ops.aten.promote_types.default)
ROOT = Path(__file__).parents[1]


def texts_of(images: int, seed: int) -> dict[str, list[list[int]]]:
    """Returns token ids: short and long captions, region texts, 11 texts per hard region."""
    rng = random.Random(seed)

    def word() -> int:
        return int(min(49000, rng.paretovariate(0.6) * 50))  # frequent words come often

    def text(ids: list[int]) -> list[int]:
        return [BEGIN, *ids, END]

    texts: dict[str, list[list[int]]] = {"short": [], "long": [], "regions": [], "hard": []}
    for _ in range(images):
        photo = [320, 1125, 539]  # "a photo of"
        texts["short"].append(text(photo + [word() for _ in range(rng.randint(14, 26))]))
        texts["long"].append(text([word() for _ in range(rng.randint(160, 240))]))
        for _ in range(REGIONS):
            phrase = [320, *(word() for _ in range(rng.randint(3, 7)))]
            longer = phrase + [word() for _ in range(rng.randint(4, 12))]
            texts["regions"].append(text(rng.choice([phrase, longer])))
            swapped = rng.randrange(1, len(phrase) - 1)
            wrong = [phrase[:swapped] + [word()] + phrase[swapped + 1 :] for _ in range(NEGATIVES)]
            texts["hard"].extend(text(t) for t in [phrase, *wrong])
    return texts


def inputs(images: int, side: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random (B, 3, S, S) uint8 pixels, (R, 4) boxes and the (R,) images they lie in."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (images, 3, side, side), dtype=torch.uint8, generator=generator)
    corner = torch.rand(images * REGIONS, 2, generator=generator) * 0.6
    size = torch.rand(images * REGIONS, 2, generator=generator) * 0.3 + 0.1
    return (
        pixels,
        torch.cat([corner, corner + size], 1),
        torch.arange(images).repeat_interleave(REGIONS),
    )


def our_batch(images: int, side: int, seed: int) -> tuple[Batch, int]:
    """The batch, packed, and the number of tokens that are computed for it."""
    texts = texts_of(images, seed)
    kinds = {"short": SHORT, "long": LONG, "regions": SHORT, "hard": SHORT}
    packed, which = pack([(kinds[n], tuple(t)) for n, group in texts.items() for t in group])
    parts = torch.tensor(which).split([len(group) for group in texts.values()])
    short, long, regions, hard = parts
    hard = hard.reshape(-1, NEGATIVES + 1)
    pixels, boxes, owners = inputs(images, side, seed)
    batch = Batch(
        pixels=pixels, packing=packed, short=short, long=long,
        short_images=torch.arange(images), long_images=torch.arange(images),
        boxes=boxes, images=owners, regions=regions,
        hard_boxes=torch.arange(len(hard)), positives=hard[:, 0],
        negatives=hard[:, 1:], short_same=short, long_same=long, region_same=regions,
        positive_same=hard[:, 0], negative_same=hard[:, 1:], region_text=regions,
    )  # fmt: skip
    return batch, len(packed.ids)


class Padded(nn.Module):
    """The step as published: every text padded, each group of texts in a pass of its own."""

    def __init__(self, model: FGCLIP, images: int, side: int, seed: int) -> None:
        super().__init__()
        self.model = model
        self.objective = Objective(model, ObjectiveConfig())
        self.pixels, self.boxes, self.owners = inputs(images, side, seed)
        self.texts = {
            name: torch.tensor([t + [END] * ((248 if name == "long" else 77) - len(t)) for t in g])
            for name, g in texts_of(images, seed).items()
        }
        model.text_model.config._attn_implementation = "sdpa"

    def place(self, device: torch.device) -> None:
        self.pixels, self.boxes, self.owners = (
            x.to(device) for x in (self.pixels, self.boxes, self.owners)
        )
        self.texts = {n: t.to(device) for n, t in self.texts.items()}

    def encode(self, ids: Tensor, long: bool) -> Tensor:
        text = self.model.text_model
        tables = text.embeddings
        if long:
            ori, res = tables.position_embedding_ori.weight, tables.position_embedding_res.weight
            places = torch.cat([ori[:UNSTRETCHED], res[UNSTRETCHED:]])
        else:
            places = tables.position_embedding.weight
        states = tables.token_embedding(ids) + places
        for layer in text.encoder.layers:
            states = layer(states, None, is_causal=True)
        states = text.final_layer_norm(states)
        last = states[torch.arange(len(ids), device=ids.device), ids.argmax(1)]
        head = self.model.text_filip_projection if long else self.model.text_projection
        return functional.normalize(head(last).float(), dim=-1)

    def forward(self) -> Tensor:
        model = self.model
        pixels = (self.pixels - self.objective.mean) / self.objective.std
        out = model.vision_model(pixels, output_hidden_states=True)
        image = functional.normalize(model.visual_projection(out.pooler_output).float(), dim=-1)
        layer, before = model.vision_model.encoder.layers[-1], out.hidden_states[-2]
        dense = before + layer.self_attn.out_proj(layer.self_attn.v_proj(layer.layer_norm1(before)))
        dense = dense + layer.mlp(layer.layer_norm2(dense))
        dense = model.visual_projection(model.vision_model.post_layernorm(dense[:, 1:]))
        side = int(dense.shape[1] ** 0.5)
        dense = dense.transpose(1, 2).unflatten(2, (side, side)).float()
        rois = torch.cat([self.owners[:, None].float(), self.boxes * side], 1)
        region = roi_align(dense, rois, (1, 1), 1.0, sampling_ratio=-1, aligned=True)[:, :, 0, 0]
        region = functional.normalize(region, dim=-1)
        scale = model.logit_scale.exp()
        total = pixels.new_zeros(())
        for name in ("long", "short"):
            text = self.encode(self.texts[name], name == "long")
            total = total + both_ways(image, text, scale)
        text = self.encode(self.texts["regions"], False)
        total = total + 0.1 * both_ways(region, text, model.logit_scale_finegraind.exp())
        hard = self.encode(self.texts["hard"], False).unflatten(0, (-1, NEGATIVES + 1))
        each = losses.hard_negative(
            region, hard[:, 0], hard[:, 1:], torch.ones_like(hard[:, 1:, 0], dtype=torch.bool),
            model.logit_scale_hardneg.exp(),
        )  # fmt: skip
        return total + 0.5 * each.mean()


def both_ways(a: Tensor, b: Tensor, scale: Tensor) -> Tensor:
    target = torch.arange(len(a), device=a.device)
    found = losses.contrastive(a, b, target, scale) + losses.contrastive(b, a, target, scale)
    return found.mean() / 2


def config_of(size: str) -> CLIPConfig:
    shape = SIZES[size]
    return CLIPConfig(
        text_config={"eos_token_id": END, **shape}, vision_config={"patch_size": 16, **shape}
    )


def flops(name: str, size: str, images: int, seed: int) -> int:
    """Returns the FLOPs of one step of an arm, forward and backward; nothing is computed.

    Matrix products only, as is usual, and without those inside fused attention, which is a few per
    cent.
    """
    config = config_of(size)
    side = config.vision_config.image_size
    batch, _ = our_batch(images, side, seed)
    with FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False) as counter:
        model = FGCLIP(config)
        if name == "padded":
            Padded(model, images, side, seed)().backward()
        else:
            objective = Objective(model, ObjectiveConfig(mask_same=False))
            objective.batch_losses(batch)["loss"].backward()
    return int(counter.get_total_flops())


def rows_by_length(lengths: Sequence[int]) -> tuple[tuple[tuple[int, int], ...], list[int]]:
    """What `packing._rows` returns, with a group for each length, one text a row."""
    order = sorted(range(len(lengths)), key=lambda text: lengths[text])
    starts, begin = [0] * len(lengths), 0
    for text in order:
        starts[text] = begin
        begin += lengths[text]
    return tuple((n, lengths.count(n)) for n in sorted(set(lengths))), starts


class Operations(TorchDispatchMode):
    """Counts operations that compute or copy, not views: a GPU's kernels, about."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        view = any(r.alias_info and not r.alias_info.is_write for r in function._schema.returns)
        without = view or function.namespace != "aten" or function in WITHOUT_KERNEL
        self.count += not without
        return function(*args, **(kwargs or {}))


def attention_operations(images: int, seed: int) -> tuple[int, int, int]:
    """Returns how many operations the attention of a text layer takes, forward and backward, as it
    is and with a group for each length; and the number of lengths."""
    counts, groups = [], 0
    for rows in (packing._rows, rows_by_length):
        with mock.patch.object(packing, "_rows", rows):
            packed = our_batch(images, 8, seed)[0].packing
        groups = len(packed.groups)
        with FakeTensorMode(allow_non_fake_inputs=True):
            states = torch.randn(3, 1, 8, len(packed.ids), 64, requires_grad=True)
            assert packed.masks  # made once for all layers
            with Operations() as operations:
                query, key, value = states
                packing.packed_attention(
                    nn.Module(), query, key, value, None, 0.125, packing=packed
                )[0].sum().backward()
        counts.append(operations.count)
    return counts[0], counts[1], groups


def waits(step: Callable[[], Tensor], device: torch.device) -> int:
    """Returns how often a forward and backward pass waits for a value of the device."""
    names = {"aten::_local_scalar_dense", "aten::nonzero"}
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        names = {"cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize"}
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as recorded:
        step().backward()
    return sum(event.name in names for event in recorded.events())


def arm(args: argparse.Namespace) -> dict[str, Any]:
    """Runs one arm; returns seconds a step (the fastest), peak memory in bytes, loss, tokens."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    config = config_of(args.size)
    model = build(config).to(device).train()
    side = config.vision_config.image_size

    def prepare(images: int) -> tuple[Callable[[], Tensor], int]:
        """Returns a forward pass that gives the loss, and the tokens that it computes."""
        if args.arm == "padded":
            padded = Padded(model, images, side, args.seed).to(device)
            padded.place(device)
            return padded, sum(t.numel() for t in padded.texts.values())
        batch, tokens = our_batch(images, side, args.seed)
        objective = Objective(model, ObjectiveConfig(mask_same=False)).to(device)
        batch = batch.to(device)
        return lambda: objective.batch_losses(batch)["loss"], tokens

    def loss_of(step: Callable[[], Tensor]) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=args.precision == "bf16"):
            return step()

    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.001, fused=True)
    warm, _ = prepare(1)
    loss_of(warm).backward()
    optimizer.step()  # at a rate of 0: it makes its state
    optimizer.zero_grad()
    optimizer.param_groups[0]["lr"] = 1e-6
    step, tokens = prepare(args.images)
    first, times, busy = None, [], []
    for _ in range(args.steps):
        start, cpu = time.perf_counter(), time.process_time()
        loss = loss_of(step)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        value = loss.item()
        times.append(time.perf_counter() - start)
        busy.append(time.process_time() - cpu)
        first = value if first is None else first
    peak = (
        torch.cuda.max_memory_allocated()
        if device.type == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    return {
        "limit": matrix_rate(device, args.precision),
        "seconds": min(times),
        "cpu": min(busy),
        "peak": peak,
        "loss": first,
        "tokens": tokens,
        "waits": waits(warm, device) if args.arm == "ours" else None,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--steps", type=int, default=1, help="timed steps, after one of an image")
    parser.add_argument("--size", choices=list(SIZES), default="vit-b-16")
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--large", type=int, default=512, help="images of the batch only counted")
    parser.add_argument("--arm", choices=["padded", "ours"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.arm:
        print(json.dumps(arm(args)))
        return 0
    results = {}
    for name in ("padded", "ours"):
        command = [sys.executable, "-m", "bench.train_step", *sys.argv[1:], "--arm", name]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
        results[name] = json.loads(done.stdout.splitlines()[-1])
        results[name]["flops"] = flops(name, args.size, args.images, args.seed)
        results[name]["large"] = flops(name, args.size, args.large, args.seed)
    print(f"{args.size}, {args.images} images x {REGIONS} regions x {NEGATIVES} negatives, "
          f"{args.precision}, {args.threads} threads")  # fmt: skip
    names = ("", "s/step", "CPU s", "images/s", "peak GB", "tokens", "loss", "TFLOP", "of limit")
    print(f"{names[0]:8}" + "".join(f"{n:>10}" for n in names[1:]))
    for name, r in results.items():
        print(f"{name:8}{r['seconds']:10.3f}{r['cpu']:10.2f}{args.images / r['seconds']:10.3f}"
              f"{r['peak'] / 1e9:10.2f}{r['tokens']:10}{r['loss']:10.5f}{r['flops'] / 1e12:10.3f}"
              f"{r['flops'] / r['seconds'] / r['limit']:10.2f}")  # fmt: skip
    for key, count in (("flops", args.images), ("large", args.large)):
        ratio = results["padded"][key] / results["ours"][key]
        print(f"FLOPs at {count} images: padded {ratio:.2f} times ours")
    ours, by_length, lengths = attention_operations(args.large, args.seed)
    print(f"attention of a text layer, {args.large} images: {ours} operations; with a group for "
          f"each of {lengths} lengths {by_length}")  # fmt: skip
    print(f"a step waits for the device {results['ours']['waits']} times")
    # Other work on the machine slows the clock, not the count of CPU seconds.
    clock = "seconds" if torch.cuda.is_available() else "cpu"
    speed = results["padded"][clock] / results["ours"][clock]
    memory = results["ours"]["peak"] / results["padded"]["peak"]
    apart = abs(results["ours"]["loss"] - results["padded"]["loss"])
    allowed = 1e-5 if args.precision == "fp32" else 2e-2
    print(f"peak memory: {memory:.2f} of padded (goal <= {GOAL_MEMORY})")
    print(f"loss apart: {apart:.1e} (allowed {allowed:.0e})")
    unit = "images/s" if clock == "seconds" else "images per CPU second"
    print(f"train_step: {speed:.2f}x {unit} (goal >= {GOAL_SPEED:.0f}x)")
    return 0 if speed >= GOAL_SPEED and memory <= GOAL_MEMORY and apart <= allowed else 1


if __name__ == "__main__":
    sys.exit(main())
