"""Tokens of an average image by stage, with the prompts of before and those of the bundled configs.

Counted with the real tokenizers of model families: the questions as the stages ask them, and
replies as models write them. Those with negatives have 12 swaps a region in both forms, and are
spaced as the prompt's example. Tokens of images are `finehard plan`'s. The tokenizers' packages are
installed into a temporary folder, or taken from `--packages`.
"""

from __future__ import annotations

import argparse
import base64
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from bench.measure import verdict
from finehard.config import Config, load_config
from finehard.negatives import Negatives
from finehard.negatives.swap import Swap, pick
from finehard.records import Bytes, Record, Region
from finehard.stages.caption import Caption
from finehard.stages.regions import Regions
from finehard.stages.stage import AverageImage, Stage
from finehard.stages.verify import Verify

PACKAGES = ("tiktoken", "dashscope", "mistral-common", "bpe-openai")

SHORT = "A small wooden table by an open window holds a white teapot, a blue cup and ripe oranges."
LONG = (
    "A small round wooden table with turned legs stands beside an open window. On it, a white "
    "ceramic teapot with a curved gold handle stands next to a dark blue cup, which is full of "
    "steaming tea. Behind the cup, a wicker basket holds seven ripe oranges, one of them half "
    "peeled, with its curled skin lying on a folded striped cloth. A thin white curtain with a "
    "floral border hangs at the left of the window, blown inward, and lets soft light fall on the "
    "scratched surface of the table. On the right, a tall brown leather armchair with brass studs "
    "faces the window; a gray cat sleeps on its seat, curled up on a knitted green blanket. The "
    "wall behind is painted pale yellow, and a square mirror with a black metal frame hangs on it, "
    "in which part of a bookcase with red and blue books can be seen. The floor is made of wide "
    "oak boards, partly covered by a worn Persian rug with a red and cream pattern."
)


class Sample(NamedTuple):
    """A region, with swaps as a model names them."""

    short_expr: str
    long_expr: str
    swaps: Mapping[tuple[str, str], tuple[str, ...]]
    """(Attribute, original) -> replacements; 12 in all."""


SAMPLES = (
    Sample(
        "a small round wooden table with turned legs",
        "a small round wooden table with turned legs, standing on oak boards beside a window",
        {
            ("size", "small"): ("huge", "large", "enormous"),
            ("shape", "round"): ("square", "oval", "triangular", "rectangular"),
            ("material", "wooden"): ("metal", "glass", "plastic", "marble", "wicker"),
        },
    ),
    Sample(
        "a white ceramic teapot with a curved gold handle",
        "a white ceramic teapot with a curved gold handle, next to a dark blue cup of tea",
        {
            ("color", "white"): ("black", "green", "dark blue", "red", "pink"),
            ("material", "ceramic"): ("glass", "copper", "cast iron"),
            ("shape", "curved"): ("straight",),
            ("color", "gold"): ("silver", "brown", "green"),
        },
    ),
    Sample(
        "a gray cat sleeping on a knitted green blanket",
        "a gray cat sleeping curled up on a knitted green blanket on the seat of an armchair",
        {
            ("color", "gray"): ("orange", "black", "white", "brown"),
            ("action", "sleeping"): ("standing", "running", "sitting"),
            ("color", "green"): ("red", "yellow", "purple"),
            ("material", "knitted"): ("leather", "plastic"),
        },
    ),
    Sample(
        "seven ripe oranges in a wicker basket",
        "seven ripe oranges in a wicker basket, one of them half peeled, behind a blue cup",
        {
            ("count", "seven"): ("two", "three", "nine", "twelve"),
            ("state", "ripe"): ("rotten", "unripe"),
            ("material", "wicker"): ("plastic", "metal", "glass", "cardboard", "wooden", "wire"),
        },
    ),
)


def record() -> Record:
    """Returns an image with the captions and regions above, and ten negatives to a region."""
    regions = []
    for sample in SAMPLES:
        swaps = [Swap(a, o, n) for (a, o), others in sample.swaps.items() for n in others]
        negatives, _ = pick(sample.short_expr, swaps, 10)
        region = Region((0.1, 0.1, 0.6, 0.7), 0.9, sample.short_expr, sample.short_expr,
                        sample.long_expr, tuple(negatives))  # fmt: skip
        regions.append(region)
    return Record("k", "k", "", Bytes("", 0, 0), "", regions=tuple(regions), long_caption=LONG)


def reply(stage: Stage) -> str:
    """Returns what a model replies about all regions, in the form that the stage's prompt shows."""
    spaced = ", ", ": "
    compact = ",", ":"
    if isinstance(stage, Caption):
        return json.dumps({"short_caption": SHORT, "long_caption": LONG}, separators=spaced)
    if isinstance(stage, Regions):
        return json.dumps({str(n): s.long_expr for n, s in enumerate(SAMPLES, 1)})
    assert stage.prompt
    if isinstance(stage, Verify):
        count = 2 + 10
        words = {str(n): "yes" if n < 3 else "no" for n in range(1, count + 1)}
        return json.dumps(words, separators=compact if '{"1":"' in stage.prompt.text else spaced)
    if stage.prompt.reply == "negatives.lists":
        lists = {
            str(n): [f"{o}: {', '.join(others)}" for (_, o), others in sample.swaps.items()]
            for n, sample in enumerate(SAMPLES, 1)
        }
        return json.dumps(lists, separators=compact)
    swaps = {
        str(n): [
            {"attribute": a, "original": o, "replacement": other}
            for (a, o), others in sample.swaps.items()
            for other in others
        ]
        for n, sample in enumerate(SAMPLES, 1)
    }
    return json.dumps(swaps, separators=spaced)


def tokenizers(folder: Path) -> dict[str, Callable[[str], int]]:
    """Returns the number of tokens in a text, by family, from the packages in `folder`."""
    sys.path.append(str(folder))
    bpe_openai, tiktoken = import_module("bpe_openai"), import_module("tiktoken")

    with (folder / "dashscope" / "resources" / "qwen.tiktoken").open("rb") as lines:
        ranks = {base64.b64decode(t): int(rank) for t, rank in (line.split() for line in lines)}
    qwen = tiktoken.Encoding(
        "qwen", pat_str=_QWEN_PATTERN, mergeable_ranks=ranks, special_tokens={}
    )
    data = folder / "mistral_common" / "data"
    tekken = json.loads((data / "tekken_240911.json").read_text())
    settings = tekken["config"]
    size = settings["default_vocab_size"] - settings["default_num_special_tokens"]
    ranks = {base64.b64decode(v["token_bytes"]): v["rank"] for v in tekken["vocab"][:size]}
    mistral = tiktoken.Encoding(
        "tekken", pat_str=settings["pattern"], mergeable_ranks=ranks, special_tokens={}
    )
    gpt = bpe_openai.get_encoding("o200k_base")
    encodings = {"Qwen": qwen, "Mistral (Tekken)": mistral, "GPT-4o (o200k)": gpt}
    return {name: partial(_count, encoding) for name, encoding in encodings.items()}


def _count(encoding: Any, text: str) -> int:
    return len(encoding.encode(text))


_QWEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""The pre-tokenizer of Qwen2 and later, as their tokenizer.json has it."""


def stages(config: Config) -> list[Stage]:
    """Returns the stages that ask a model."""
    return [
        Caption(config.caption),
        Regions(config.regions),
        Negatives(config.negatives),
        Verify(config.verify),
    ]


class Tokens(NamedTuple):
    """What a stage takes for an image: counted, and as `finehard plan` estimates it."""

    prompt: float
    completion: float
    planned_prompt: float
    planned_completion: float


def tokens(stage: Stage, count: Callable[[str], int], average: AverageImage) -> Tokens:
    """Returns the tokens of all requests of `stage` about the image."""
    asks = stage.questions(record())
    shown = {"caption": average.tokens}.get(stage.name, average.crop_tokens)
    prompt = sum(count(ask.text) + shown * len(ask.views) for ask in asks)
    completion = count(reply(stage)) * len(asks)
    planned = stage.estimate(average)
    assert planned is not None
    return Tokens(
        prompt,
        completion,
        planned.requests * planned.prompt_tokens,
        planned.requests * planned.completion_tokens,
    )


def main() -> None:
    """Prints the table and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, help="folder with " + ", ".join(PACKAGES))
    chosen = parser.parse_args()
    after = load_config("gpu-node")
    before = replace(
        after,
        negatives=replace(after.negatives, prompt="negatives.v1"),
        verify=replace(after.verify, prompt="verify.v2"),
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.packages or _installed(Path(temporary))
        worst = max(
            _compare(name, count, before, after) for name, count in tokenizers(folder).items()
        )
    met = verdict("tokens", worst, 0.5, at_least=False)
    sys.exit(not met)


def _installed(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder)]
    done = subprocess.run([*command, *PACKAGES], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"tokens: cannot install {', '.join(PACKAGES)}: {done.stderr.strip()[-300:]}")
    return folder


def _compare(family: str, count: Callable[[str], int], before: Config, after: Config) -> float:
    """Prints the table of one family; returns the share of the completion tokens that is left."""
    side = after.prices.image_token_side
    images = AverageImage(
        (1024 // side) * (768 // side), round(after.images.crop_side * 0.8 / side) ** 2,
        len(SAMPLES), after.negatives.per_region,
    )  # fmt: skip
    table = Table(title=f"{family}: tokens of an image with {len(SAMPLES)} regions")
    for column in ("stage", "prompt", "now", "planned", "completion", "now", "planned"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    sums = [0.0] * 6
    for old, new in zip(stages(before), stages(after), strict=True):
        was, now = tokens(old, count, images), tokens(new, count, images)
        row = (was.prompt, now.prompt, now.planned_prompt,
               was.completion, now.completion, now.planned_completion)  # fmt: skip
        table.add_row(new.name, *(f"{n:,.0f}" for n in row))
        sums = [a + b for a, b in zip(sums, row, strict=True)]
    table.add_section()
    table.add_row("all", *(f"{n:,.0f}" for n in sums))
    Console(width=100).print(table)
    return sums[4] / sums[3]


if __name__ == "__main__":
    main()
