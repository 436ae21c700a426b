"""Region captions: all cut-outs of an image in one request, against a request for each.

Unseen demo scenes of four things or more; of each, four regions with their true boxes. Three in ten
phrases are false, so that what is right must have been seen. Both ways ask the same server, with
the same stage, prompt and cut-outs; prompt tokens are as the server counts them. The demo's
tokenizer has the instructions in a few pieces, so what one request instead of four saves is also
told with every word of the text as a token, about as large models' tokenizers make of English.
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


class Told(NamedTuple):
    """What one way took for all images, and how many of its captions are right."""

    requests: int
    prompt_tokens: int
    by_word: int
    """Prompt tokens, were each word and punctuation mark of the text one."""
    right: int
    captions: int


def record(scene: Scene, things: list[Thing], key: str, rng: np.random.Generator) -> Record:
    """The scene as the detector would leave it, with regions of `things`."""
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
    """Records of `count` scenes, their pictures kept in `images`, and what is in the regions."""
    index = 0
    while count:
        picture, scene = render(seed, index)
        if len(scene.things) >= REGIONS:
            data = encode(picture, seed, index)
            rng = np.random.default_rng((seed, index))
            things = [scene.things[n] for n in rng.permutation(len(scene.things))[:REGIONS]]
            told = record(scene, things, hashlib.sha256(data).hexdigest(), rng)
            images.put(told, data)
            yield told, things
            count -= 1
        index += 1


def ask(
    stage: Regions,
    client: Client,
    images: Images,
    work: list[tuple[Record, list[Thing]]],
    words_more: Callable[[str], int],
) -> Told:
    """Asks one question for each record. `words_more` tells how many more words than tokens a text
    has."""
    asked: list[tuple[Record, list[Thing], Future[Answer]]] = []
    for told, things in work:
        [question] = stage.questions(told)
        seen = tuple(images.views(told, question.views))
        asked.append((told, things, client.submit(
            Question("regions", question.text, question.schema, question.max_tokens, seen,
                     told.sha256)
        )))  # fmt: skip
    requests = prompt_tokens = right = captions = 0
    more = sum(words_more(stage.questions(told)[0].text) for told, _ in work)
    for told, things, future in asked:
        answer = future.result()
        requests += answer.usage.requests
        prompt_tokens += answer.usage.prompt_tokens
        for region, thing in zip(stage.answer(told, [answer.value]).regions, things, strict=True):
            said = texts.words_of(region.long_expr)
            right += said is not None and (said[0], said[2]) == (thing.color, thing.kind)
            captions += 1
    return Told(requests, prompt_tokens, prompt_tokens + more, right, captions)


def main() -> int:
    """Prints the table; 0 when all goals are met."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=6161)
    chosen = parser.parse_args()
    config = load_config("demo")
    assert config.server is not None
    stage, images = Regions(config.regions), Images(config.images, lambda _: b"")
    together = list(scenes(chosen.scenes, chosen.seed, images))
    alone = [
        (replace(told, regions=(region,)), [thing])
        for told, things in together
        for region, thing in zip(told.regions, things, strict=True)
    ]
    with ensure_server(config.server.engine) as server:
        lmm = replace(config.models["lmm"], model=server.model, endpoints=server.base_urls)
        client = Client(lmm)
        tokenizer = AutoTokenizer.from_pretrained(config.server.engine.model)
        word = spacy.blank("en").tokenizer

        def words_more(text: str) -> int:
            return len(word(text)) - len(tokenizer(text)["input_ids"])

        found = {"a region": ask(stage, client, images, alone, words_more),
                 "an image": ask(stage, client, images, together, words_more)}  # fmt: skip
        client.close()
    print(f"{'a request for':16}{'requests an image':>20}{'prompt tokens an image':>26}"
          f"{'by word':>10}{'color and kind right':>24}")  # fmt: skip
    for name, way in found.items():
        tokens, right = way.prompt_tokens / chosen.scenes, way.right / way.captions
        print(f"{name:16}{way.requests / chosen.scenes:20.2f}{tokens:26.1f}"
              f"{way.by_word / chosen.scenes:10.1f}{right:24.3f}")  # fmt: skip
    one, all_of = found["a region"], found["an image"]
    requests = all_of.requests / one.requests
    tokens = all_of.prompt_tokens / one.prompt_tokens
    apart = one.right / one.captions - all_of.right / all_of.captions
    met = [verdict("REGIONS REQUESTS", requests, 1 / 3, False),
           verdict("REGIONS PROMPT TOKENS", tokens, 0.5, False),
           verdict("REGIONS PROMPT TOKENS BY WORD", all_of.by_word / one.by_word, 0.5, False),
           verdict("REGIONS LESS OFTEN RIGHT", apart, 0.01, False)]  # fmt: skip
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
