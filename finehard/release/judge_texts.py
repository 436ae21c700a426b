"""The known defects of the release's texts, found by the rules of the stages that write such texts.

Captions and region texts are judged as model replies are (`texts/`); short expressions also as noun
phrases for a detector (`phrases/`); negatives must be one swap of an attribute (`negatives/`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from finehard.negatives.listed import listed
from finehard.negatives.swap import Swap, check, normal
from finehard.phrases import PhrasesConfig, extractor
from finehard.records import HardNegative
from finehard.stages.caption import CaptionConfig
from finehard.stages.prompts import load_prompt
from finehard.texts.judge import Judge

_OPEN_ENDS = frozenset(listed(
    "am is are was were be been have has had do does appear appears seem seems to in on at by from "
    "for into onto under over near that which who whose where when while as them it"
))  # fmt: skip
"""Last words of the release's truncated expressions: "a larger that appears to have"."""
_ALWAYS = ("no_change", "duplicate")
"""Rules whose negatives no dataset may have: they say what the region's text or another one says.
The release has them where ten were to be filled up."""


class Text(NamedTuple):
    """A text as it is to be used, and the defect found in it; empty if there is none."""

    text: str
    defect: str


class Negatives(NamedTuple):
    """Those that pass the rules, their keys in the release, those that do not, by rule, and those
    of them that could be in a dataset all the same, marked as not false of their region."""

    valid: list[HardNegative]
    keys: list[str]
    refused: dict[str, list[str]]
    marked: list[HardNegative]


class TextJudge:
    """Judges the texts of the release; see `text_judge`."""

    def __init__(self, phrases: PhrasesConfig) -> None:
        caption = load_prompt("caption.v1", "caption", ("long_words", "alt_text"))
        regions = load_prompt("regions.v1", "regions", ("count", "phrases"))
        self._of_image, self._of_region = Judge(caption.text), Judge(regions.text)
        self._extract = extractor(phrases)
        self._long_words = CaptionConfig().long_words

    def caption(self, text: str, long: bool) -> tuple[Text, dict[str, list[str]]]:
        """Returns a caption of an image, cut clean, and what was cut, by kind."""
        judged = self._of_image(text, self._long_words if long else 0)
        if judged.fault:
            return Text(text, judged.fault), {}
        return Text(judged.text if judged.cut else text, ""), judged.cut

    def long_expr(self, text: str) -> str:
        """Returns the defect of a region's caption; empty if there is none."""
        judged = self._of_region(text)
        if judged.fault:
            return judged.fault
        if judged.cut:
            return "boilerplate_text"
        if text.rstrip(" .").rpartition(" ")[2].lower() in _OPEN_ENDS:
            return "unfinished_text"
        return "boilerplate_text" if "boilerplate" in self._rules(text) else ""

    def short_expr(self, text: str) -> str:
        """Returns the defect of a region's noun phrase: one of its caption, or the rule by which
        its noun is not sought in images ("ungroundable", "lost_noun", ...)."""
        return self.long_expr(text) or next(iter(self._rules(text)), "")

    def _rules(self, text: str) -> Mapping[str, list[str]]:
        """Returns why no phrase of `text` is sought in images; empty if one is."""
        found = self._extract(text.rstrip(" .") + ".")
        if found.phrases:
            return {}
        return found.dropped or {"no_noun": [text]}


@lru_cache(1)
def text_judge(phrases: PhrasesConfig) -> TextJudge:
    """Returns this process's judge, whose rules take a second or two to load."""
    return TextJudge(phrases)


def judge_negatives(short_expr: str, texts: Mapping[str, Any]) -> Negatives:
    """Returns the negatives of a region, in their order, judged as swaps of `short_expr`."""
    found = Negatives([], [], {}, [])
    known = {normal(short_expr)}
    for key, text in texts.items():
        if not isinstance(text, str) or not text.strip():
            found.refused.setdefault("not_a_text", []).append(str(text))
            continue
        swap = difference(short_expr, text)
        made = check(short_expr, swap, found.valid)
        rule = made if isinstance(made, str) else "" if made.text == text else "not_one_swap"
        if not rule and not isinstance(made, str):
            found.valid.append(made)
            found.keys.append(key)
        else:
            found.refused.setdefault(rule, []).append(f"{short_expr}: {text}")
            if rule not in _ALWAYS and normal(text) not in known:
                marked = HardNegative(text, "other", swap.original, swap.replacement, False)
                found.marked.append(marked)
        known.add(normal(text))
    return found


def difference(text: str, other: str) -> Swap:
    """Returns the words of `text` for which `other` has others: all between what both begin and
    end with. Neither is empty."""
    old, new = text.split(), other.split()
    least = min(len(old), len(new)) - 1  # a word is left in both
    first = 0
    while first < least and old[first].lower() == new[first].lower():
        first += 1
    last = 0
    while last < least - first and old[-1 - last].lower() == new[-1 - last].lower():
        last += 1
    return Swap("", " ".join(old[first : len(old) - last]), " ".join(new[first : len(new) - last]))
