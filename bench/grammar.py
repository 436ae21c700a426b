"""What the reply schemas cost a server that decodes by grammar (xgrammar, as vLLM and SGLang do).

On a real vocabulary of 131,072 tokens: CPU seconds to compile each stage's schema at its largest
number of entries, and the milliseconds that each token's mask takes while a reply is written; as
sent, and with --full also with the lengths and titles that only finehard checks. Needs a folder
that is not part of the project's environment:

    pip install --no-deps --target DIR xgrammar apache-tvm-ffi mistral-common
    PYTHONPATH=DIR python -m bench.grammar --full
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.measure import verdict
from finehard.detect import DetectConfig
from finehard.negatives import NegativesConfig
from finehard.schemas import ReplySchema, reply_schema
from finehard.stages.verify import VerifyConfig

TEKKEN = "data/tekken_240911.json"
"""Of mistral-common: the tokenizer of Mistral Nemo and Pixtral."""

GOAL_COMPILE_S = 0.2
GOAL_MASK_MS = 0.1

SENTENCE = "A red enamel mug with a chipped white rim stands on a wooden table. "


class Cost(NamedTuple):
    """CPU seconds to compile a schema, and milliseconds of a token's mask: mean and most."""

    compile_s: float
    mask_ms: float
    most_ms: float
    tokens: int


class Vocabulary:
    """A tokenizer's tokens as bytes, and a greedy encoder that is close enough to it."""

    def __init__(self, path: Path) -> None:
        told = json.loads(path.read_text("utf-8"))
        size = told["config"]["default_vocab_size"]
        special = told["config"]["default_num_special_tokens"]
        plain = [base64.b64decode(token["token_bytes"]) for token in told["vocab"]]
        self.tokens = [f"<SPECIAL_{n}>".encode() for n in range(special)] + plain[: size - special]
        self._index = {token: n for n, token in reversed(list(enumerate(self.tokens)))}

    def encode(self, text: str) -> Iterator[int]:
        """The tokens of `text`, the longest first."""
        data = text.encode()
        while data:
            length = next(n for n in range(min(24, len(data)), 0, -1) if data[:n] in self._index)
            yield self._index[data[:length]]
            data = data[length:]


def schemas() -> dict[str, ReplySchema]:
    """Each stage's schema, with as many entries as a request with default settings can have."""
    regions, negatives = DetectConfig().max_boxes, NegativesConfig().candidates
    statements = 2 + negatives
    assert VerifyConfig().policy != "skip"
    return {
        "caption": reply_schema("caption"),
        f"regions of {regions}": reply_schema("regions", regions),
        f"negatives of {regions}": reply_schema("negatives", regions),
        f"verify of {statements}": reply_schema("verify", statements),
    }


def reply(schema: dict[str, Any], words: int = 1) -> Any:
    """A reply that fits `schema`; a text is `words` sentences, a list has twelve entries."""
    if "enum" in schema:
        return schema["enum"][0]
    if schema["type"] == "array":
        return [reply(schema["items"], 0)] * 12
    if schema["type"] == "object":
        long = {"long_caption": 9}
        inner = schema.get("properties", {}).items()
        return {name: reply(value, long.get(name, words)) for name, value in inner}
    return SENTENCE * words or "red enamel"


def measured(xgrammar: Any, compiler: Any, vocabulary: Vocabulary, schema: dict, text: str) -> Cost:
    """The cost of one schema, with a reply of `text`."""
    began = time.process_time()
    grammar = compiler.compile_json_schema(json.dumps(schema))
    compile_s = time.process_time() - began
    matcher = xgrammar.GrammarMatcher(grammar)
    mask = xgrammar.allocate_token_bitmask(1, len(vocabulary.tokens))
    took = []
    for token in vocabulary.encode(text):
        at = time.thread_time()
        matcher.fill_next_token_bitmask(mask)
        took.append((time.thread_time() - at) * 1e3)
        assert matcher.accept_token(token), "the reply does not fit the grammar"
    return Cost(compile_s, float(np.mean(took)), max(took), len(took))


def main() -> int:
    """Measures all schemas; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="also the schemas as checked: minutes")
    chosen = parser.parse_args()
    found = find_spec("mistral_common")
    if found is None or not found.submodule_search_locations or find_spec("xgrammar") is None:
        print("bench.grammar needs xgrammar and mistral-common: see python -m bench.grammar --help")
        return 2
    import xgrammar

    vocabulary = Vocabulary(Path(found.submodule_search_locations[0]) / TEKKEN)
    size = len(vocabulary.tokens)
    info = xgrammar.TokenizerInfo(
        vocabulary.tokens, vocab_type=xgrammar.VocabType.RAW, vocab_size=size, stop_token_ids=[2]
    )
    compiler = xgrammar.GrammarCompiler(info, max_threads=2, cache_enabled=False)
    print(f"xgrammar {version('xgrammar')}, {size:,} tokens")
    costs = []
    for name, schema in schemas().items():
        text = json.dumps(reply(schema.value))
        assert schema.why_invalid(json.loads(text)) is None
        for label, value in (("as sent", schema.value), ("in full", schema.full)):
            if label == "in full" and not chosen.full:
                continue
            cost = measured(xgrammar, compiler, vocabulary, value, text)
            print(
                f"{name}, {label}: {cost.compile_s:.3f} s CPU to compile; mask of a token "
                f"{cost.mask_ms:.3f} ms on average, {cost.most_ms:.1f} ms at most, over "
                f"{cost.tokens} tokens",
                flush=True,
            )
            if label == "as sent":
                costs.append(cost)
    worst = max(cost.compile_s for cost in costs)
    slowest = max(cost.mask_ms for cost in costs)
    compiles = verdict("CPU to compile the costliest schema", worst, GOAL_COMPILE_S, False, " s")
    masks = verdict("mask of a token", slowest, GOAL_MASK_MS, False, " ms")
    return 0 if compiles and masks else 1


if __name__ == "__main__":
    sys.exit(main())
