"""Which words of a hard negative differ from the expression it was made of."""

from __future__ import annotations

from difflib import SequenceMatcher


def changed_words(original: str, negative: str) -> list[tuple[str, bool]]:
    """`negative` in pieces, each with whether it differs from `original`; joined by spaces they
    are its words. Very long texts are one piece that differs."""
    old, new = original.split(), negative.split()
    if len(old) > 200 or len(new) > 200:
        return [(negative, True)]
    pieces = []
    matcher = SequenceMatcher(None, [w.lower() for w in old], [w.lower() for w in new], False)
    for kind, _, _, start, end in matcher.get_opcodes():
        if end > start:
            pieces.append((" ".join(new[start:end]), kind != "equal"))
    return pieces
