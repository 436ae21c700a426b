"""What verification catches of planted errors, and what it loses of what is true.

On unseen demo scenes the truth is known: every region has true texts and false negatives. One in
ten regions gets the texts of another thing, one in ten negatives is made true; the verification
stage asks the demo's model about all of it, as in a build.
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
    """The scene as the stages before would have it were they perfect, errors planted.

    `phrase` of a region, and `attribute` of a negative, tell what is planted.
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
        told = "wrong" if wrong else "right"
        regions.append(Region(tuple(box), 1.0, told, short, long, tuple(negatives)))
        tally[told] += 1
        tally.update(n.attribute for n in negatives)
    return Record("", "", "", Bytes("", 0, 0), "", regions=tuple(regions))


def main() -> int:
    """Prints the shares; 0 when all goals are met."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=5151)
    chosen = parser.parse_args()
    config = load_config("demo")
    assert config.server is not None
    stage = Verify(replace(config.verify, policy="mark"))
    images = Images(config.images, lambda _: b"")
    planted: Counter[str] = Counter()
    asked = []
    with ensure_server(config.server.engine) as server:
        lmm = replace(config.models["lmm"], model=server.model, endpoints=server.base_urls)
        client = Client(lmm)
        for index in range(chosen.scenes):
            picture, scene = render(chosen.seed, index)
            data = encode(picture, chosen.seed, index)
            told = record(scene, np.random.default_rng((chosen.seed, index)), planted)
            key = hashlib.sha256(data).hexdigest()
            told = replace(told, source=key, sha256=key, width=scene.width, height=scene.height)
            images.put(told, data)
            questions = [
                Question(stage.name, ask.text, ask.schema, ask.max_tokens,
                         tuple(images.views(told, ask.views)), key, ask.choices)
                for ask in stage.questions(told)
            ]  # fmt: skip
            images.drop(told.source)
            asked.append((told, [client.submit(question) for question in questions]))
        found: Counter[str] = Counter()
        for told, answers in asked:
            values = [answer.result().value for answer in answers]
            for region in stage.answer(told, values).regions:
                found[region.phrase] += not region.verified
                found.update(n.attribute for n in region.hard_negatives if not n.verified)
        client.close()
    shares = {name: found[name] / count for name, count in planted.items()}
    for name, what in (
        ("wrong", "region texts of something else, caught"),
        ("true", "negatives made true, caught"),
        ("right", "true region texts, lost"),
        ("false", "false negatives, lost"),
    ):
        print(f"{what:42}{shares[name]:7.1%} of {planted[name]}")
    caught = (found["wrong"] + found["true"]) / (planted["wrong"] + planted["true"])
    met = [
        verdict("PLANTED ERRORS CAUGHT", caught, 0.95, True),
        verdict("TRUE REGIONS LOST", shares["right"], 0.05, False),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
