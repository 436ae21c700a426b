"""Share of planted errors that verification catches, and of good texts that it rejects.

The regions of unseen demo scenes have true texts and false negatives. One region in ten gets false
texts, and one negative in ten is made true; then the verification stage asks the demo's model about
all of them, as in a build.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections import Counter
from dataclasses import replace

import numpy as np

from bench.measure import verdict
from finehard.config import load_config
from finehard.demo import texts
from finehard.demo.render import encode, render
from finehard.demo.world import Scene
from finehard.lmm.client import Client
from finehard.lmm.question import Question
from finehard.records import Bytes, HardNegative, Record, Region
from finehard.serve import ensure_server
from finehard.stages.verify import Verify
from finehard.worker.images import Images

PLANTED = 0.10
NEGATIVES = 3


def record(scene: Scene, rng: np.random.Generator, tally: Counter[str]) -> Record:
    """Returns the scene as perfect earlier stages would leave it, with errors planted.

    A region's `phrase` is "right" or "wrong", a negative's `attribute` "true" or "false".
    """
    regions = []
    size = np.asarray((scene.width, scene.height) * 2)
    for thing in scene.things:
        wrong = bool(rng.random() < PLANTED)
        short = texts.false_statement(thing, rng) if wrong else texts.thing_phrase(thing)
        negatives: list[HardNegative] = []
        while len(negatives) < NEGATIVES:
            true = bool(rng.random() < PLANTED)
            text = texts.thing_phrase(thing) if true else texts.false_statement(thing, rng)
            if true or text not in [n.text for n in negatives]:
                negatives.append(HardNegative(text, "true" if true else "false", "", ""))
        box = np.clip(np.asarray(thing.box) / size, 0, 1).tolist()
        long = f"{short} on a {scene.surface} table"
        label = "wrong" if wrong else "right"
        regions.append(Region(tuple(box), 1.0, label, short, long, tuple(negatives)))
        tally[label] += 1
        tally.update(n.attribute for n in negatives)
    return Record("", "", "", Bytes("", 0, 0), "", regions=tuple(regions))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=5151)
    args = parser.parse_args()
    config = load_config("demo")
    assert config.server is not None
    stage = Verify(replace(config.verify, policy="mark"))
    images = Images(config.images, lambda _: b"")
    planted: Counter[str] = Counter()
    pending = []
    with ensure_server(config.server.engine) as server:
        lmm = replace(config.models["lmm"], model=server.model, endpoints=server.base_urls)
        client = Client(lmm)
        for index in range(args.scenes):
            picture, scene = render(args.seed, index)
            data = encode(picture, args.seed, index)
            item = record(scene, np.random.default_rng((args.seed, index)), planted)
            key = hashlib.sha256(data).hexdigest()
            item = replace(item, source=key, sha256=key, width=scene.width, height=scene.height)
            images.put(item, data)
            questions = [
                Question(stage.name, ask.text, ask.schema, ask.max_tokens,
                         tuple(images.views(item, ask.views)), key, ask.choices)
                for ask in stage.questions(item)
            ]  # fmt: skip
            images.drop(item.source)
            pending.append((item, [client.submit(question) for question in questions]))
        flagged: Counter[str] = Counter()
        for item, answers in pending:
            values = [answer.result().value for answer in answers]
            for region in stage.answer(item, values).regions:
                flagged[region.phrase] += not region.verified
                flagged.update(n.attribute for n in region.hard_negatives if not n.verified)
        client.close()
    shares = {name: flagged[name] / count for name, count in planted.items()}
    for name, label in (
        ("wrong", "region texts of something else, caught"),
        ("true", "negatives made true, caught"),
        ("right", "true region texts, lost"),
        ("false", "false negatives, lost"),
    ):
        print(f"{label:42}{shares[name]:7.1%} of {planted[name]}")
    caught = (flagged["wrong"] + flagged["true"]) / (planted["wrong"] + planted["true"])
    met = [
        verdict("PLANTED ERRORS CAUGHT", caught, 0.95, True),
        verdict("TRUE REGIONS LOST", shares["right"], 0.05, False),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
