"""Share of planted errors that end as texts which are right: generate, verify, correct.

The regions of unseen demo scenes have true texts and false negatives. One region in ten gets false
texts, and one negative in ten is made true: its swap leaves the text as it was, as a synonym would.
All goes through the stages of `verify.policy: correct`. The demo's model verifies, twice. It was
not trained to correct, so what corrects is simulated: it is right about the region texts
except for a share `--errors`, and that share of the words it puts into negatives is wrong too: the
true word again, the original, or the name of an object. With `--backend lexicon` negatives are
replaced without a model, and only the region texts are simulated.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bench.measure import verdict
from finehard.config import Config, load_config
from finehard.demo import texts
from finehard.demo.render import encode, render
from finehard.demo.world import COLORS, KINDS, PATTERNS, Scene, Thing
from finehard.lmm.client import Client
from finehard.lmm.question import Question
from finehard.negatives.correct import CorrectNegatives
from finehard.negatives.swap import Swap, pick
from finehard.records import Box, Bytes, HardNegative, Record, Region
from finehard.serve import ensure_server
from finehard.stages.correct_texts import CorrectTexts
from finehard.stages.stage import Stage
from finehard.stages.verify import CorrectionConfig, Verify
from finehard.stages.verify_corrected import VerifyCorrected
from finehard.worker.images import Images

PLANTED = 0.10
NEGATIVES = 4


def record(scene: Scene, rng: np.random.Generator) -> Record:
    """Returns the scene as perfect earlier stages would leave it, with errors planted."""
    size = np.asarray((scene.width, scene.height) * 2)
    regions = []
    for thing in scene.things:
        short = texts.thing_phrase(thing)
        if rng.random() < PLANTED:
            short = texts.false_statement(thing, rng)
        named = [Swap(**swap) for swap in texts.swaps(short, NEGATIVES)]
        negatives, _ = pick(short, named, NEGATIVES)
        if short == texts.thing_phrase(thing):
            true = HardNegative(short, "color", thing.color, thing.color)
            negatives = [true if rng.random() < PLANTED else n for n in negatives]
        box = tuple(np.clip(np.asarray(thing.box) / size, 0, 1).tolist())
        long = f"{short} on a {scene.surface} table"
        regions.append(Region(box, 1.0, short, short, long, tuple(negatives)))
    return Record("", "", "", Bytes("", 0, 0), "", regions=tuple(regions))


class Simulated:
    """What corrects, right except for a share of `errors`. `boxes` are those of the scene."""

    def __init__(self, scene: Scene, boxes: Sequence[Box], errors: float, seed: int) -> None:
        self._things = dict(zip(boxes, scene.things, strict=True))
        self._table = f"on a {scene.surface} table"
        self._errors = errors
        self._rng = np.random.default_rng(seed)

    def texts(self, untrue: Sequence[Region]) -> dict[str, Any]:
        """Returns a reply to `CorrectTexts`."""
        reply = {}
        for number, region in enumerate(untrue, 1):
            thing = self._things[region.box]
            name = texts.thing_phrase(thing)
            if self._rng.random() < self._errors:
                name = texts.false_statement(thing, self._rng)
            reply[str(number)] = {"name": name, "caption": f"{name} {self._table}"}
        return reply

    def negatives(self, regions: Sequence[Region], counts: Sequence[int]) -> dict[str, list[str]]:
        """Returns a reply to `CorrectNegatives`: other colours."""
        reply = {}
        for number, (region, count) in enumerate(zip(regions, counts, strict=True), 1):
            words = texts.words_of(region.short_expr)
            color = words[0] if words else "red"
            taken = [n.replacement for n in region.hard_negatives]
            free = [c for c in COLORS if c != color and c not in taken]
            named = [str(c) for c in self._rng.permutation(free)[:count]]
            wrong = (self._things[region.box].color, color, KINDS[number % len(KINDS)])
            named = [
                wrong[self._rng.integers(3)] if self._rng.random() < self._errors else word
                for word in named
            ]
            reply[str(number)] = [f"{color}: {', '.join(named)}"] if named else []
        return reply


def true_of(text: str, thing: Thing) -> bool:
    """Whether a text says nothing false of the object; other numbers than one are false. Where it
    stands is not looked at."""
    words = text.lower().partition(" on a ")[0].split()
    colors = [w for w in words if w in COLORS]
    patterns = [w for w in words if w in PATTERNS]
    return colors == [thing.color] and patterns in ([], [thing.pattern]) and thing.kind in words


def count(scene: Scene, steps: Sequence[Record], into: Counter[str]) -> None:
    """Counts what was planted in an image and how it ended. `steps` are the record as planted,
    verified, with new texts, with new negatives, and verified again."""
    planted, verified, _, replaced, made = steps
    new, left = ({region.box: region for region in r.regions} for r in (replaced, made))
    for thing, before, judged in zip(scene.things, planted.regions, verified.regions, strict=True):
        after = left.get(before.box)
        if not true_of(before.short_expr, thing):
            into["texts"] += 1
            into["texts found"] += not judged.verified
            right = after is not None and all(
                true_of(text, thing) for text in (after.short_expr, after.long_expr)
            )
            into["texts corrected"] += right
            into["texts left"] += after is not None and not right
            continue
        into["right texts"] += 1
        into["right texts lost"] += after is None
        stay = {n.text for n in after.hard_negatives} if after else set()
        offered = new[before.box].hard_negatives if before.box in new else ()
        fresh = iter([negative for negative in offered if negative.verified is None])
        for negative in judged.hard_negatives:
            true = true_of(negative.text, thing)
            kind = "negatives" if true else "good negatives"
            into[kind] += 1
            into[f"{kind} left"] += bool(negative.verified)
            if not negative.verified:
                other = next(fresh, None)
                into[f"{kind} found"] += 1
                into[f"{kind} replaced"] += (
                    other is not None and other.text in stay and not true_of(other.text, thing)
                )
                into["true replacements"] += (
                    other is not None and other.text in stay and true_of(other.text, thing)
                )


class Judge:
    """Asks the demo's model the questions of a stage about one image. `asked` counts them."""

    def __init__(self, client: Client, images: Images) -> None:
        self._client = client
        self._images = images
        self.asked: Counter[str] = Counter()

    def __call__(self, stage: Stage, item: Record) -> Record:
        """Returns the record with the answers; the same where nothing is asked."""
        asks = stage.questions(item)
        self.asked[stage.name] += len(asks)
        pending = [
            self._client.submit(
                Question(stage.name, ask.text, ask.schema, ask.max_tokens,
                         tuple(self._images.views(item, ask.views)), item.sha256, ask.choices)
            )
            for ask in asks
        ]  # fmt: skip
        values = [answer.result().value for answer in pending]
        made = stage.answer(item, values) if asks else item
        assert isinstance(made, Record)
        return made


def corrected(item: Record, config: Config, simulated: Simulated, ask: Judge) -> list[Record]:
    """Returns the record as planted, and after each of the four stages."""
    steps = [item, ask(Verify(config.verify), item)]
    texts_stage = CorrectTexts(config.verify)
    untrue = [region for region in steps[-1].regions if not region.verified]
    reply = [simulated.texts(untrue)] if untrue else []
    steps.append(texts_stage.answer(steps[-1], reply))
    ask.asked[texts_stage.name] += len(reply)
    negatives = CorrectNegatives.make(config.verify)
    assert negatives is not None
    if negatives.model is None:
        made = negatives.apply(steps[-1])
        assert isinstance(made, Record)
    else:
        assert isinstance(negatives, CorrectNegatives)
        wrong = [r for r in steps[-1].regions if any(not n.verified for n in r.hard_negatives)]
        counts = [sum(not n.verified for n in r.hard_negatives) + 2 for r in wrong]
        made = negatives.answer(steps[-1], [simulated.negatives(wrong, counts)] if wrong else [])
        ask.asked[negatives.name] += bool(wrong)
    steps += [made, ask(VerifyCorrected(config.verify), made)]
    return steps


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=5252)
    parser.add_argument("--errors", type=float, default=0.2)
    parser.add_argument("--backend", choices=("llm", "lexicon"), default="llm")
    args = parser.parse_args()
    config = load_config("demo")
    assert config.server is not None
    engine = config.server.engine
    correction = CorrectionConfig(backend=args.backend)
    verify = replace(config.verify, policy="correct", correction=correction)
    config = replace(config, verify=verify)
    images = Images(config.images, lambda _: b"")
    ends: Counter[str] = Counter()

    def one(index: int) -> None:
        picture, scene = render(args.seed, index)
        data = encode(picture, args.seed, index)
        item = record(scene, np.random.default_rng((args.seed, index)))
        key = hashlib.sha256(data).hexdigest()
        item = replace(item, source=key, sha256=key, width=scene.width, height=scene.height)
        images.put(item, data)
        simulated = Simulated(scene, [r.box for r in item.regions], args.errors, index)
        steps = corrected(item, config, simulated, ask)
        images.drop(item.source)
        count(scene, steps, ends)

    with ensure_server(engine) as server:
        lmm = replace(config.models["lmm"], model=server.model, endpoints=server.base_urls)
        client = Client(lmm)
        ask = Judge(client, images)
        for index in range(args.scenes):
            one(index)
        client.close()
    for label, part, whole in (
        ("true negatives, found", "negatives found", "negatives"),
        ("true negatives, replaced by valid ones", "negatives replaced", "negatives"),
        ("replacements that are true as well", "true replacements", "negatives"),
        ("good negatives, rejected", "good negatives found", "good negatives"),
        ("rejected good negatives, replaced", "good negatives replaced", "good negatives found"),
        ("wrong region texts, found", "texts found", "texts"),
        ("wrong region texts, corrected", "texts corrected", "texts"),
        ("wrong region texts, still there", "texts left", "texts"),
        ("right region texts, lost", "right texts lost", "right texts"),
    ):
        share = ends[part] / ends[whole] if ends[whole] else 0.0
        print(f"{label:42}{share:7.1%} of {ends[whole]}")
    requests = (f"{name} {number / args.scenes:.2f}" for name, number in ask.asked.items())
    print("requests a scene:", ", ".join(requests))
    share = ends["negatives replaced"] / ends["negatives"]
    return 0 if verdict("TRUE NEGATIVES REPLACED", share, 0.8, True) else 1


if __name__ == "__main__":
    sys.exit(main())
