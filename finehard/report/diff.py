"""Which words of a hard negative differ from the expression that it was made from."""

from __future__ import annotations

from difflib import SequenceMatcher


def diff_words(original: str, negative: str) -> list[tuple[str, bool]]:
    """`negative` in runs of words, each with whether it differs from `original`.

    Joined by spaces the runs are the words of `negative`. A text of more than 200 words is one run
    that differs.
    """
    old, new = original.split(), negative.split()
    if len(old) > 200 or len(new) > 200:
        return [(negative, True)]
    runs = []
    matcher = SequenceMatcher(None, [w.lower() for w in old], [w.lower() for w in new], False)
    for operation, _, _, start, end in matcher.get_opcodes():
        if end > start:
            runs.append((" ".join(new[start:end]), operation != "equal"))
    return runs
