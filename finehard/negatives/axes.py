"""Scales with words that exclude each other: an open door is not closed, a sitting man not running.

Each axis has sides; words on one side may describe the same thing, words on different sides of one
axis may not. A word can be on several axes ("short": not tall, not long). Words that share no axis
say nothing of each other: a dirty mug may be broken.
"""

from __future__ import annotations

from functools import cache
from itertools import zip_longest
from typing import NamedTuple

_AXES: dict[str, tuple[str, ...]] = {
    "size": (
        "small little tiny mini miniature petite compact undersized | large big huge giant "
        "enormous oversized massive gigantic extra-large",
        "check: small little tiny | medium medium-sized mid-sized | large big huge",
        "thing: tall high | short low",
        "living: tall | short",
        "check: tall towering high | short squat stubby low low-rise",
        "long | short",
        "check: long lengthy elongated | short cropped",
        "wide broad | narrow",
        "check: wide broad | narrow slim slender",
        "thick | thin",
        "check: thick chunky bulky fat | thin slim slender skinny",
        "deep | shallow",
        "living: fat plump chubby overweight obese | thin slim slender skinny lean",
    ),
    "count": (
        "one 1 single lone solitary | two 2 pair couple both | three 3 trio | four 4 | five 5 | "
        "six 6 | seven 7 | eight 8 | nine 9 | ten 10 | eleven 11 | twelve 12 dozen",
        "many numerous countless multiple several various | few | single lone solitary one 1",
    ),
    "action": (
        "living: sitting | standing | lying | walking | running | jumping",
        "check: sitting seated perched perching | standing upright | lying reclining resting "
        "lounging laying asleep sleeping napping | kneeling | squatting crouching | walking "
        "strolling | running jogging sprinting racing galloping | jumping leaping hopping | "
        "swimming | flying soaring gliding hovering | climbing | crawling | riding | driving | "
        "dancing | falling | skating skateboarding | skiing | surfing | grazing",
        "holding carrying gripping clutching grasping gripped held | throwing tossing hurling | "
        "dropping | pushing shoving | pulling dragging tugging | catching | kicking",
        "check: wearing dressed clothed | removing | holding carrying",
        "check: smiling laughing grinning happy cheerful joyful | frowning crying weeping "
        "scowling sad angry unhappy | yawning",
        "check: eating chewing feeding | drinking sipping | cooking | smoking | singing",
        "check: hitting swinging | catching | missing",
        "check: reading | writing drawing painting | typing | knitting sewing",
        "check: moving driving speeding | parked stationary stopped waiting",
        "check: entering arriving approaching | leaving departing exiting",
        "check: taking-off ascending rising | landing descending",
        "check: hanging suspended | lying laying fallen | standing | leaning",
        "check: facing | leaving",
        "check: opening | closing shutting",
        "check: buying | selling",
    ),
    "position": (
        "left leftmost left-hand left-most | right rightmost right-hand right-most",
        "check: left leftmost left-hand | right rightmost right-hand | middle center central "
        "centre",
        "upper top topmost uppermost | lower bottom bottommost lowermost | middle",
        "front foremost | back rear hind",
        "check: front | back rear hind | side",
        "interior inner internal | exterior outer external",
        "near nearest closest nearby near close_to | far farthest furthest distant far_from",
        "first | second | third | fourth | fifth | last final",
        "foreground | background",
        "indoor inside indoors | outdoor outside outdoors",
        "northern north | southern south | eastern east | western west",
        "on atop upon on_top_of above over | under below beneath underneath | behind | in_front_of",
        "above over | below under beneath underneath | behind | in_front_of",
        "inside within | outside | under beneath underneath",
        "horizontal | vertical upright | diagonal slanted",
        "check: in_front_of before | behind",
        "ascending | descending",
    ),
    "state": (
        "thing: open | closed shut",
        "check: open opened ajar unlocked | closed shut locked sealed enclosed",
        "empty | full",
        "check: empty vacant unoccupied | full filled loaded occupied stuffed packed crowded "
        "overflowing | half-full half-empty half-filled",
        "thing: old vintage antique aged ancient elderly worn well-worn weathered historic "
        "old-fashioned old_fashioned | new modern brand-new brand_new contemporary futuristic",
        "living: old elderly older aged senior | young younger youthful | middle-aged",
        "wet damp soaked moist soaking soggy | dry parched",
        "dirty muddy stained soiled filthy grimy dusty messy | clean spotless pristine washed",
        "check: messy cluttered untidy disheveled unmade | tidy neat organized",
        "thing: broken cracked damaged shattered torn ripped | intact undamaged whole unbroken "
        "repaired",
        "thing: lit illuminated glowing lighted | unlit extinguished dark",
        "living: curly wavy frizzy | straight | braided",
        "thing: rough coarse rugged bumpy uneven ridged | smooth even polished",
        "thing: shiny glossy gleaming polished reflective shining | matte dull unpolished matt "
        "tarnished",
        "check: rusty rusted corroded | shiny polished new",
        "thing: folded | unfolded | crumpled | rolled",
        "check: folded | open",
        "check: folded | wrinkled",
        "wrinkled creased crumpled | smooth ironed pressed",
        "thing: stacked piled | scattered strewn spread",
        "thing: raw uncooked | cooked fried boiled grilled roasted baked steamed",
        "check: fried deep-fried | boiled | grilled | raw | baked | steamed",
        "ripe | unripe | rotten",
        "thing: fresh | stale rotten wilted withered dried",
        "blooming flowering blossoming | wilted withered",
        "check: grassy grass | rocky stony gravel | sandy sand | snowy snow-covered | paved "
        "asphalt | dirt",
        "check: muddy | paved asphalt",
        "wooded forested | treeless barren",
        "check: leafy lush verdant | bare leafless barren dead",
        "check: lush overgrown dense | sparse barren bare arid desolate dry",
        "check: male | female",
        "check: male masculine | female feminine",
        "sunny clear cloudless | cloudy overcast stormy rainy foggy gray",
        "check: frozen icy | melted melting thawed",
        "check: hot steaming boiling warm | cold frozen chilled icy cool",
        "thing: soft plush squishy | hard stiff rigid firm",
        "check: fluffy furry hairy shaggy bushy | bald hairless shaved sheared sleek",
        "flat | curved domed arched",
        "check: flat | bulging raised",
        "straight | curved curvy bent crooked winding curving",
        "sharp pointed pointy | blunt round rounded dull",
        "check: pointed pointy | floppy droopy",
        "check: sharp | blurry blurred",
        "thing: upright standing erect | overturned upturned upside-down toppled fallen",
        "thing: painted | unpainted",
        "thing: framed | unframed frameless",
        "check: covered | uncovered bare exposed",
        "wrapped | unwrapped",
        "sliced chopped cut | whole uncut",
        "paved | unpaved dirt gravel",
        "check: real genuine live living | fake artificial stuffed",
        "check: alive living live | dead",
        "inflated | deflated",
        "check: tied | untied loose",
        "loose | tight",
        "check: loose baggy loose-fitting | tight fitted tight-fitting form-fitting skin-tight",
        "sleeveless | long-sleeved long-sleeve | short-sleeved short-sleeve",
        "check: faded bleached washed-out | vibrant vivid bright",
        "plain simple unadorned | ornate decorated elaborate intricate embellished decorative",
        "check: luxurious luxury lavish elegant | shabby rundown dilapidated run-down modest",
        "check: busy bustling crowded | deserted empty quiet abandoned",
        "check: festive joyful cheerful | somber gloomy sad",
        "check: calm still tranquil | choppy rough stormy wavy turbulent",
        "handwritten hand-written | printed typed",
        "thing: transparent clear see-through | translucent | opaque",
        "check: tame domestic | wild feral",
        "ripped torn distressed | intact",
        "check: bearded | clean-shaven beardless",
        "check: barefoot barefooted | shod",
        "thing: attached connected | detached separate disconnected",
        "check: fluffy soft | coarse stiff",
        "check: heavy | light lightweight",
        "lined | unlined",
        "thing: digital electronic | analog mechanical manual",
        "check: electric motorized | manual gas-powered",
        "double-decker double-decked | single-decker single-decked",
        "living: awake | asleep sleeping",
    ),
}
"""Attribute -> axes; sides are separated by "|", words of a phrase joined by "_". "living: " and
"thing: " begin axes that hold only for such objects, "check: " those of which no swap is
made up. By hand."""


_OFFERED = {"size": 5, "position": 2, "action": 1}
_ELSE_OFFERED = 3
"""Words of a side that `others` returns, by attribute: the common ones stand first."""


class _Axis(NamedTuple):
    """`domain` is "living" or "thing" where the axis only holds for such objects, "check" where it
    only judges swaps."""

    attribute: str
    domain: str
    sides: tuple[tuple[str, ...], ...]


@cache
def _axes() -> tuple[_Axis, ...]:
    axes = []
    for attribute, texts in _AXES.items():
        for text in texts:
            domain, _, sides = text.rpartition(": ")
            words = (side.split() for side in sides.split("|"))
            split = tuple(tuple(word.replace("_", " ") for word in side) for side in words)
            axes.append(_Axis(attribute, domain, split))
    return tuple(axes)


@cache
def _sides() -> dict[str, dict[int, int]]:
    """Returns, by word or phrase, its side on each axis."""
    sides: dict[str, dict[int, int]] = {}
    for number, axis in enumerate(_axes()):
        for side, words in enumerate(axis.sides):
            for word in words:
                sides.setdefault(word, {}).setdefault(number, side)
    return sides


@cache
def attributes() -> dict[str, frozenset[str]]:
    """Returns the attributes of every word and phrase that is on an axis."""
    axes = _axes()
    return {w: frozenset(axes[n].attribute for n in on) for w, on in _sides().items()}


def exclude(one: str, other: str) -> bool:
    """Whether two words or phrases are on different sides of one axis, and on the same of none."""
    first, second = _sides().get(one, {}), _sides().get(other, {})
    shared = [first[axis] == second[axis] for axis in first.keys() & second.keys()]
    return bool(shared) and not any(shared)


def others(word: str, attribute: str, domain: str) -> list[str]:
    """Returns common words of `attribute` that exclude `word`, of axes that hold in `domain`.

    `domain` is "living" or "thing", or "" for axes that hold for everything.
    """
    found = []
    for number, side in _sides().get(word, {}).items():
        axis = _axes()[number]
        if axis.attribute == attribute and axis.domain in ("", domain):
            most = _OFFERED.get(attribute, _ELSE_OFFERED)
            turns = [words[:most] for n, words in enumerate(axis.sides) if n != side]
            found += [one for turn in zip_longest(*turns) for one in turn if one]
    return [other for other in dict.fromkeys(found) if exclude(word, other)]
