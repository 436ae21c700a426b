"""The simulated models: they know the truth, and are wrong as often as `Rates` says.

Every answer is a function of the question, also which answers are wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench.recipes.rates import RATES
from bench.recipes.world import Place, chance, places
from finehard.demo import texts
from finehard.demo.world import COLORS, KINDS, PATTERNS, Scene, Thing
from finehard.detect import Detection

NEAR = {
    "red": "crimson", "blue": "azure", "yellow": "golden", "purple": "violet", "white": "ivory",
    "green": "emerald", "pink": "rose", "black": "jet-black", "orange": "tangerine",
    "gray": "silver", "brown": "chestnut", "striped": "lined", "dotted": "spotted",
    "checkered": "chequered",
}  # fmt: skip
"""What a writer of negatives takes for another colour or pattern, though it is true as well."""
_SIZES = ("small", "large")
_UNFIT = {"color": ("light black", "dark white"), "pattern": ("dot", "stripe")}
_HINT = re.compile(r"([^,|]+?) \((color|pattern)\): (\d+)")
_TABLE = " on a "
_NAMED = re.compile(
    rf"an? (?:{'|'.join(COLORS)}) (?:(?:{'|'.join(PATTERNS)}) )?(?:{'|'.join(KINDS)})"
    "(?:(?:, quite (?:small|large),)? (?P<place>on the left|in the middle|on the right))?"
)
"""How captions of scenes name an object."""
_MOST_THINGS = len(texts.COUNT_WORDS)


def seen(name: str, scene: Scene) -> tuple[Thing, ...]:
    """Returns the objects of a scene as the captioner sees them, in their order; behind them those
    that are not there."""
    rng = chance("seen", name)
    things = [
        thing if rng.random() < RATES.recall else misread(thing, rng) for thing in scene.things
    ]
    for thing in scene.things:
        if rng.random() < RATES.invented and len(things) < _MOST_THINGS:
            things.append(_with_words(thing, texts.random_phrase(rng)))
    return tuple(things)


def misread(thing: Thing, rng: np.random.Generator) -> Thing:
    """Returns an object with one attribute, or its kind, mistaken."""
    return _with_words(thing, texts.false_statement(thing, rng))


def _with_words(thing: Thing, phrase: str) -> Thing:
    words = texts.words_of(phrase)
    assert words is not None
    return replace(thing, color=words[0], pattern=words[1], kind=words[2])


def captions(name: str, scene: Scene) -> dict[str, str]:
    """Returns the captioner's reply."""
    return texts.captions(replace(scene, things=seen(name, scene)))


def region_captions(name: str, scene: Scene, things: Sequence[int]) -> list[str]:
    """Returns the captions of cut-outs of these objects."""
    known = seen(name, scene)
    rng = chance("regions", name, *things)
    told = [
        things[(n + 1) % len(things)] if rng.random() < RATES.captions_of_another else thing
        for n, thing in enumerate(things)
    ]
    return [texts.region_caption(known[thing], scene) for thing in told]


def read_again(name: str, scene: Scene, thing: int, text: str) -> tuple[str, str]:
    """Returns name and caption of an object of which `text` was found to be untrue."""
    rng = chance("again", name, thing, text)
    right = scene.things[thing]
    said = right if rng.random() < RATES.recall else misread(right, rng)
    return texts.thing_phrase(said), texts.region_caption(said, scene)


def detections(name: str, scene: Scene, phrases: Sequence[str]) -> list[Detection]:
    """Returns the detector's boxes: of the objects that a phrase names, else of the one that is
    most like it. What is only like it scores less."""
    right, moved = places(name, scene)
    found = []
    for number, phrase in enumerate(phrases):
        words = texts.words_of(phrase)
        alike = [_alike(words, thing) for thing in scene.things] if words else []
        best = max(alike, default=0)
        for index, likeness in enumerate(alike):
            if likeness < best or best < 2:
                continue
            rng = chance("box", name, phrase, index)
            score = float(rng.uniform(0.4, 0.9) if best == 4 else rng.uniform(0.3, 0.8))
            found.append(Detection(number, _boxed(right, moved, index, rng).box, score))
            if best < 4:
                break
    return found


def _alike(words: tuple[str, str, str] | None, thing: Thing) -> int:
    """Returns 4 where a phrase names an object, at least 2 for its kind or all its attributes."""
    if words is None:
        return 0
    color, pattern, kind = words
    return 2 * (kind == thing.kind) + (color == thing.color) + (pattern == thing.pattern)


def _boxed(right: list[Place], moved: list[Place], index: int, rng: np.random.Generator) -> Place:
    draw = rng.random()
    if draw < RATES.boxes_moved:
        return moved[index]
    if draw < RATES.boxes_moved + RATES.boxes_of_another and len(right) > 1:
        return right[(index + rng.integers(1, len(right))) % len(right)]
    return right[index]


def swaps(line: str) -> list[str]:
    """Returns the writer's swaps for a line of a prompt for negatives, as "red: blue",
    fewer than asked for where the scenes have no other word.

    The line is "a red mug | red (color): 12", and may go on with "| true: ... | taken: ..."."""
    text, _, rest = line.partition(" | ")
    rng = chance("swaps", line)
    asked = [(m[1].strip(), m[2], int(m[3])) for m in _HINT.finditer(rest)]
    used = set(re.split(r"[ ,|:]+", rest)) | set(text.split())
    named = []
    for word, attribute, count in asked:
        known = COLORS if attribute == "color" else PATTERNS[1:]
        free = [w for w in rng.permutation(known).tolist() if w not in used]
        for _ in range(count):
            valid = rng.random() < RATES.swaps_valid
            if valid and not free:  # scenes have no other word
                break
            named.append(f"{word}: {free.pop()}" if valid else _invalid(text, word, attribute, rng))
    return [named[n] for n in rng.permutation(len(named))]


def _invalid(text: str, word: str, attribute: str, rng: np.random.Generator) -> str:
    kind = next((w for w in text.split() if w in KINDS), None)
    if kind is not None and rng.random() < RATES.swaps_of_nouns:
        return f"{kind}: {rng.choice([k for k in KINDS if k != kind])}"
    new = (NEAR.get(word, word), rng.choice(_SIZES), rng.choice(_UNFIT[attribute]))
    return f"{word}: {new[rng.integers(3)]}"


def verdict(name: str, scene: Scene, thing: int, statement: str) -> bool:
    """Returns whether verification calls a statement true of an object's cut-out."""
    claim = statement.partition(_TABLE)[0].lower().split()[1:]
    wrong = chance("verdict", name, thing, *claim).random() < RATES.verdicts_wrong
    return is_true(statement, scene.things[thing]) != wrong


def caption_verdict(name: str, scene: Scene, statement: str) -> bool:
    """Returns whether verification calls a statement of a caption true of the whole image."""
    claim = re.findall(r"\w+", statement.lower())
    wrong = chance("caption verdict", name, *claim).random() < RATES.verdicts_wrong
    return is_true_of_scene(statement, scene) != wrong


def is_true_of_scene(statement: str, scene: Scene) -> bool:
    """Whether a statement of a caption of `texts` says nothing false of a scene: its number of
    objects, if it begins with one, and all that it names, with size where it tells the place."""
    statement = statement.lower()
    counts = [word.lower() for word in texts.COUNT_WORDS]
    first = statement.split()[0]
    if first in counts and counts.index(first) + 1 != len(scene.things):
        return False
    phrases = {texts.thing_phrase(thing) for thing in scene.things}
    whole = {texts.listed_thing(thing, scene) for thing in scene.things}
    return all(m[0] in (whole if m["place"] else phrases) for m in _NAMED.finditer(statement))


def is_true(text: str, thing: Thing) -> bool:
    """Whether a text says nothing false of an object; a word that scenes do not know is false."""
    article, *words = text.lower().partition(_TABLE)[0].split()
    true = {thing.kind, thing.color, thing.pattern, thing.size}
    true |= {NEAR[word] for word in true if word in NEAR}
    return article in ("a", "an") and thing.kind in words and true.issuperset(words)
