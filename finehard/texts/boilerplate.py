"""What models say about the image as such, before and after what is seen in it. English only."""

from __future__ import annotations

import re

from finehard.texts.cut import Cut

OPENING, CLOSING = "opening", "closing"

_IMAGE = r"(?:image|picture|photo|photograph|snapshot|cut-?out|crop|frame|region|bounding box)"
_THE_IMAGE = (
    r"(?:this|the)(?: (?:given|provided|attached|above|uploaded|cropped|first|marked|highlighted))?"
    rf" {_IMAGE}"
    r"(?: (?:provided|above))?"
)
_OPENING = re.compile(
    r"(?:(?:sure|certainly|of course|okay|absolutely)\b[^.:!\n]{0,20}[!,.]\s*)"
    r"|(?:based on .{0,30}, )?(?:here(?:'s|’s| is| are)|below is|the following is)\b[^.:\n]{0,100}"
    r"\b(?:captions?|descriptions?|image|picture|photo|breakdown|overview)\b[^.:\n]{0,60}:\s*"
    rf"|(?:(?:short|long|detailed|brief|full|image|region|final)[ _-]?){{0,2}}"
    rf"(?:caption|description|answer|output|{_IMAGE})(?: ?\d{{1,2}})?\s?[:：]\s*"
    rf"|(?:as (?:you|we|one) can see )?(?:in|from|based on) {_THE_IMAGE},? ?"
    r"(?:(?:we|you|one|i) (?:can|could) (?:clearly |also )?(?:see|observe)|we see|i see)?"
    r"(?: that)?\s"
    r"|(?:we|you|i) can (?:clearly )?(?:see|observe) "
    rf"|{_THE_IMAGE} (?:clearly |mainly |primarily |prominently |vividly |simply )?"
    r"(?:shows|depicts|displays|features|portrays|presents|captures|contains|illustrates|showcases"
    rf"|includes|reveals|is of|is (?:an? )?{_IMAGE} of|appears to (?:show|be)|is(?= an? ))"
    r"(?: us)?(?: that)?(?:\s|$)(?!how |what |who |where |why )"
    r"|(?:an? )?cropped (?:image|picture|photo|view) of (?=\w)"
    rf"|this is (?:an? )?{_IMAGE} (?:of|showing|depicting|that shows) "
    rf"|this is (?=an? (?:[\w-]+ ){{1,4}}{_IMAGE} of )",
    re.IGNORECASE,
)
_OPENINGS = 4
"""Pieces of an opening, at most: "Sure! Here is a caption: In this image, we can see ..."."""

_MOOD = r"(?:atmosphere|mood|sense|feel(?:ing)?|impression|ambi[ae]nce|vibe|tone|tranquil\w*)"
_CLOSING = re.compile(
    r"(?:please )?(?:let me know|feel free|i hope|hope this|do you (?:want|need)|would you like)\b"
    r"|if (?:you|there)(?:'d| would| have| need| want| are)\b"
    r".{0,80}\b(?:questions?|ask|know|help)\b"
    r"|is there anything\b"
    r"|(?:please )?note(?: that|:)"
    r"|(?:the|this|my)(?: above)? (?:description|caption|response)\b"
    r"(?! (?:on|of|in|under|below|reads|printed|next))"
    rf"|(?:overall|in (?:summary|conclusion|short)),? .{{0,200}}\b{_MOOD}\b"
    r"|the overall (?:composition|mood|atmosphere|scene|image|effect|impression|ambi[ae]nce|tone"
    rf"|feel|setting|aesthetic)\b.{{0,200}}\b(?:{_MOOD}|calm\w*|serene|cozy|inviting)\b"
    rf"|the {_IMAGE} (?:conveys|evokes|exudes|creates|gives|invites)\b"
    r"|(?:however, |unfortunately, )?i(?:'m|’m| am) (?:sorry|unable|not able)\b"
    r"|(?:however, |unfortunately, )?i (?:cannot|can't|can’t|can not|do not|don't|won't) ",
    re.IGNORECASE,
)
_COUNT = re.compile(
    r"\s*(?:\((?:(?:about|approximately|approx\.?|total:?|word count:?|~) ?)?\d{1,3} words?\)"
    r"|\(?word count: \d{1,3}(?: words)?\)?)\.?$",
    re.IGNORECASE,
)
"""A count of the words before it."""
_COUNT_LENGTH = 60
_THOUGHT = re.compile(
    r"(?:^|[.!?] +)(?:(?:so|okay|now|first|then|hmm|wait|alright)\b,? )*"
    r"(?:the user (?:wants|asks|asked|is asking|has asked|needs|requested|provided)\b"
    r"|(?:i|we) (?:should|need to|must|have to|will|want to) (?:now )?"
    r"(?:write|describe|caption|mention|keep|start|make sure|generate|produce|count|include)\b"
    r"|let me (?:look|think|analy[sz]e|describe|see|count|write|check|start|begin|examine)\b"
    r"|let['’]s (?:describe|analy[sz]e|write|see|count)\b)",
    re.IGNORECASE,
)
"""Sentences in which a model thinks about its task."""
_THOUGHTS = 2
SENTENCE = re.compile(r"(?<=[.!?])[\"'”’)\]]{0,3}\s+(?=[\"'“‘(]?[A-Z0-9])")
"""The space between two sentences; so a full stop within a name or number ends none as a rule."""


def without_boilerplate(text: str) -> Cut:
    """Returns `text`, one line, without such openings and last sentences; empty if it is nothing
    else."""
    cut = Cut(text)
    if count := _COUNT.search(text, max(0, len(text) - _COUNT_LENGTH)):
        cut.tail(CLOSING, count.start())
    for _ in range(_OPENINGS):
        opening = _OPENING.match(cut.text)
        if opening is None:
            break
        cut.lead(OPENING, opening.end())
    starts = [match.end() for match in SENTENCE.finditer(cut.text)]
    closing = None
    while starts and _CLOSING.match(cut.text, starts[-1]):
        closing = starts.pop()
    if closing is not None:
        cut.tail(CLOSING, closing)
    return cut


def is_thought(text: str) -> bool:
    """Whether `text` begins with the user's wish, or holds several thoughts about the task."""
    found = [match.start() for match in _THOUGHT.finditer(text)]
    return len(found) >= _THOUGHTS or (
        found == [0] and re.match(r"(?:\w+,? )?the user\b", text, re.IGNORECASE) is not None
    )
