"""Region captions: all crops of an image in one request, against one request per crop.

Uses unseen demo scenes of at least four objects, with four regions each and their true boxes. Three
phrases in ten are false, so that a right caption must come from the image. Both ways use the same
server, stage, prompt and crops; prompt tokens are those that the server counts. To the demo's
tokenizer the instructions are a few tokens, so the savings are also given with one token per word,
which is close to what large models' tokenizers make of English.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import spacy
from transformers import AutoTokenizer

from bench.measure import verdict
from finehard.config import load_config
from finehard.demo import texts
from finehard.demo.render import encode, render
from finehard.demo.world import Scene, Thing
from finehard.lmm.client import Client
from finehard.lmm.question import Answer, Question
from finehard.records import Bytes, Record, Region
from finehard.serve import ensure_server
from finehard.stages.regions import Regions
from finehard.worker.images import Images

REGIONS = 4


class Result(NamedTuple):
    """The cost of one way for all images, and how many of its captions are right."""

    requests: int
    prompt_tokens: int
    by_word: int
    """Prompt tokens if each word and punctuation mark of the text were one."""
    right: int
    captions: int


def record(scene: Scene, things: list[Thing], key: str, rng: np.random.Generator) -> Record:
    """Returns the scene as the detector would leave it, with regions of `things`."""
    sides = np.asarray((scene.width, scene.height) * 2)
    regions = []
    for thing in things:
        false = bool(rng.random() < 0.3)
        phrase = texts.false_statement(thing, rng) if false else texts.thing_phrase(thing)
        box = tuple((np.asarray(thing.box) / sides).tolist())
        regions.append(Region(box, 1.0, phrase, phrase, phrase))
    return Record(
        key, key, "", Bytes("", 0, 0), key, width=scene.width, height=scene.height,
        regions=tuple(regions),
    )  # fmt: skip


def scenes(count: int, seed: int, images: Images) -> Iterator[tuple[Record, list[Thing]]]:
    """Yields records of `count` scenes with their regions' objects; puts pictures into `images`."""
    index = 0
    while count:
        picture, scene = render(seed, index)
        if len(scene.things) >= REGIONS:
            data = encode(picture, seed, index)
            rng = np.random.default_rng((seed, index))
            things = [scene.things[n] for n in rng.permutation(len(scene.things))[:REGIONS]]
            item = record(scene, things, hashlib.sha256(data).hexdigest(), rng)
            images.put(item, data)
            yield item, things
            count -= 1
        index += 1


def ask(
    stage: Regions,
    client: Client,
    images: Images,
    work: list[tuple[Record, list[Thing]]],
    extra_words: Callable[[str], int],
) -> Result:
    """Asks one question per record. `extra_words` returns the number of words of a text minus that
    of its tokens."""
    pending: list[tuple[Record, list[Thing], Future[Answer]]] = []
    for item, things in work:
        [question] = stage.questions(item)
        views = tuple(images.views(item, question.views))
        pending.append((item, things, client.submit(
            Question("regions", question.text, question.schema, question.max_tokens, views,
                     item.sha256)
        )))  # fmt: skip
    requests = prompt_tokens = right = captions = 0
    more = sum(extra_words(stage.questions(item)[0].text) for item, _ in work)
    for item, things, future in pending:
        answer = future.result()
        requests += answer.usage.requests
        prompt_tokens += answer.usage.prompt_tokens
        for region, thing in zip(stage.answer(item, [answer.value]).regions, things, strict=True):
            words = texts.words_of(region.long_expr)
            right += words is not None and (words[0], words[2]) == (thing.color, thing.kind)
            captions += 1
    return Result(requests, prompt_tokens, prompt_tokens + more, right, captions)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=6161)
    args = parser.parse_args()
    config = load_config("demo")
    assert config.server is not None
    stage, images = Regions(config.regions), Images(config.images, lambda _: b"")
    together = list(scenes(args.scenes, args.seed, images))
    alone = [
        (replace(item, regions=(region,)), [thing])
        for item, things in together
        for region, thing in zip(item.regions, things, strict=True)
    ]
    with ensure_server(config.server.engine) as server:
        lmm = replace(config.models["lmm"], model=server.model, endpoints=server.base_urls)
        client = Client(lmm)
        tokenizer = AutoTokenizer.from_pretrained(config.server.engine.model)
        word = spacy.blank("en").tokenizer

        def extra_words(text: str) -> int:
            return len(word(text)) - len(tokenizer(text)["input_ids"])

        results = {"a region": ask(stage, client, images, alone, extra_words),
                   "an image": ask(stage, client, images, together, extra_words)}  # fmt: skip
        client.close()
    print(f"{'a request for':16}{'requests an image':>20}{'prompt tokens an image':>26}"
          f"{'by word':>10}{'color and kind right':>24}")  # fmt: skip
    for name, result in results.items():
        tokens, right = result.prompt_tokens / args.scenes, result.right / result.captions
        print(f"{name:16}{result.requests / args.scenes:20.2f}{tokens:26.1f}"
              f"{result.by_word / args.scenes:10.1f}{right:24.3f}")  # fmt: skip
    per_region, per_image = results["a region"], results["an image"]
    requests = per_image.requests / per_region.requests
    tokens = per_image.prompt_tokens / per_region.prompt_tokens
    by_word = per_image.by_word / per_region.by_word
    apart = per_region.right / per_region.captions - per_image.right / per_image.captions
    met = [verdict("REGIONS REQUESTS", requests, 1 / 3, False),
           verdict("REGIONS PROMPT TOKENS", tokens, 0.5, False),
           verdict("REGIONS PROMPT TOKENS BY WORD", by_word, 0.5, False),
           verdict("REGIONS LESS OFTEN RIGHT", apart, 0.01, False)]  # fmt: skip
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
