"""Samples/s per core of our loader, from shards to packed batches, against a plain loader.

The plain loader opens image files with PIL and JSON files, resizes, normalises, and tokenises with
padding to 77 and 248 tokens as the published trainer does, all short texts of an image in one call.
Both read the same photographs of 800 x 600 pixels with the same texts: 4 boxes, 10 negatives each.
CPU seconds are counted, so that other work on the machine does not matter.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import webdataset
from PIL import Image

from finehard.fgclip.data import Batches, Limits, Part, Source
from finehard.fgclip.objective import MEAN, STD
from finehard.fgclip.reader import ShardReader, find_shards
from finehard.fgclip.sampler import Sampler
from finehard.fgclip.targets import SampleConfig
from finehard.fgclip.tokenizer import Tokens, make_tokenizer, texts_of

GOAL = 3.0
SIDE, BATCH = 224, 32


def photograph(rng: np.random.Generator) -> bytes:
    """Returns a JPEG of 800 x 600 pixels with soft shapes and grain."""
    small = Image.fromarray(rng.integers(0, 256, (15, 20, 3), dtype=np.uint8))
    large = np.asarray(small.resize((800, 600), Image.Resampling.BICUBIC), dtype=np.int16)
    grain = rng.integers(-12, 13, large.shape, dtype=np.int16)
    data = io.BytesIO()
    Image.fromarray(np.clip(large + grain, 0, 255).astype(np.uint8)).save(data, "JPEG", quality=88)
    return data.getvalue()


def words(rng: random.Random, vocabulary: list[str], count: int) -> str:
    """Returns `count` words, Pareto-distributed over `vocabulary`."""
    last = len(vocabulary) - 1
    return " ".join(vocabulary[min(last, int(rng.paretovariate(0.7)) - 1)] for _ in range(count))


def sample(number: int, vocabulary: list[str]) -> dict[str, Any]:
    """Returns a sample with texts as long as FineHARD's; a negative differs in one word."""
    rng = random.Random(number)
    regions = []
    for _ in range(4):
        phrase = words(rng, vocabulary, rng.randint(4, 7)).split()
        negatives = []
        for _ in range(10):
            wrong = list(phrase)
            wrong[rng.randrange(len(wrong) - 1)] = rng.choice(vocabulary)
            negatives.append({"text": " ".join(wrong), "verified": True})
        regions.append(
            {
                "box": [0.1, 0.2, 0.5, 0.6],
                "short_expr": " ".join(phrase),
                "long_expr": " ".join(phrase) + " " + words(rng, vocabulary, 8),
                "hard_negatives": negatives,
                "verified": True,
            }
        )
    return {
        "key": f"{number:06d}",
        "short_caption": words(rng, vocabulary, 20),
        "long_caption": words(rng, vocabulary, rng.randint(150, 190)),
        "regions": regions,
    }


def write(folder: Path, count: int) -> None:
    """Writes the same samples as a dataset of shards and as files for the plain loader."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    rng = random.Random(0)
    vocabulary = ["".join(rng.choices(letters, k=rng.randint(2, 8))) for _ in range(4000)]
    photos = [photograph(np.random.default_rng(i)) for i in range(32)]
    (folder / "shards").mkdir()
    (folder / "files").mkdir()
    name = "finehard-00000-of-00001.tar"
    with webdataset.TarWriter(str(folder / "shards" / name), encoder=False) as tar:
        for number in range(count):
            data, text = photos[number % len(photos)], json.dumps(sample(number, vocabulary))
            key = f"{number:06d}"
            tar.write({"__key__": key, "jpg": data, "json": text.encode()})
            (folder / "files" / f"{key}.jpg").write_bytes(data)
            (folder / "files" / f"{key}.json").write_text(text)
    (folder / "sizes.json").write_text(json.dumps({name: count}))


def plain(folder: Path, tokenizer: Any, numbers: range) -> None:
    """Loads one batch of padded tensors."""
    rng = random.Random(0)
    mean, std = (torch.tensor(x)[:, None, None] for x in (MEAN, STD))
    images, long, short, boxes = [], [], [], []
    for number in numbers:
        with Image.open(folder / "files" / f"{number:06d}.jpg") as file:
            image = file.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        images.append((pixels - mean) / std)
        item = json.loads((folder / "files" / f"{number:06d}.json").read_text())
        texts = ["a photo of " + item["short_caption"]]
        for region in item["regions"][:4]:
            boxes.append(region["box"])
            texts.append(rng.choice([region["short_expr"], region["long_expr"]]))
            texts.append(region["short_expr"])
            texts.extend(n["text"] for n in region["hard_negatives"])
        padded = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
        short.append(tokenizer(texts, max_length=77, **padded)["input_ids"])
        long.append(tokenizer([item["long_caption"]], max_length=248, **padded)["input_ids"])
    for tensors in (images, long, short):
        torch.stack(tensors)
    torch.tensor(boxes)


def per_second(work: Callable[[int], None], batches: int) -> float:
    """Returns samples per CPU second, not counting the first batch."""
    work(0)
    start = time.process_time()
    for number in range(1, batches):
        work(number)
    return (batches - 1) * BATCH / (time.process_time() - start)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--samples", type=int, default=640)
    count = parser.parse_args().samples // BATCH * BATCH
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, count)
        shards = find_shards([name])
        tokenizer = make_tokenizer(texts_of(ShardReader(shards, 1.0), 200), 8192)
        source = Source(shards, SampleConfig(), SIDE, 0, 1.0)
        order, limits = Sampler(shards, 0), Limits(SIDE, 77, 248)
        batches = Batches(source, order, Part(BATCH), Tokens(tokenizer), limits)
        ours = per_second(lambda n: (batches[n], None)[1], count // BATCH)
        baseline = per_second(
            lambda n: plain(folder, tokenizer, range(n * BATCH, (n + 1) * BATCH)), count // BATCH
        )
    print(f"{'':8}{'samples/s of a core':>22}")
    print(f"{'plain':8}{baseline:22.1f}\n{'ours':8}{ours:22.1f}")
    print(f"loader: {ours / baseline:.2f}x samples/s of a core (goal >= {GOAL:.0f}x)")
    return 0 if ours >= GOAL * baseline else 1


if __name__ == "__main__":
    sys.exit(main())
