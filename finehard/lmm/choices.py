"""How sure a model is of each word in a reply of yes and no: read from its log-probabilities."""

from __future__ import annotations

import json
import math
import re
from typing import Any

_ENTRY = re.compile(r'("(?:[^"\\]|\\.)*")\s*:\s*"([^"\\]*)"')


def probabilities(
    value: dict[str, str], choices: tuple[str, str], text: str, choice: dict[str, Any]
) -> dict[str, float]:
    """For each entry of `value`, 0 to 1: the probability of `choices[0]` against `choices[1]`.

    `text` is the reply that `value` was read from, `choice` the server's object around it. Where
    that has no log-probabilities (or none that make up `text`), the probability is 1 or 0.
    """
    told = {key: float(word == choices[0]) for key, word in value.items()}
    tokens = _tokens(choice, text)
    for entry in _ENTRY.finditer(text) if tokens else ():
        probability = _first(tokens, entry.start(2), choices)
        if probability is not None:
            told[json.loads(entry[1])] = round(probability, 4)
    return {key: told[key] for key in value}


_Token = tuple[int, str, list[tuple[str, float]]]


def _tokens(choice: dict[str, Any], text: str) -> list[_Token]:
    """Each token's place in `text`, its own text, and what could have stood there; or nothing."""
    found: list[_Token] = []
    place = 0
    try:
        for item in choice["logprobs"]["content"]:
            others = [(o["token"], float(o["logprob"])) for o in item.get("top_logprobs") or []]
            others.append((item["token"], float(item["logprob"])))
            found.append((place, item["token"], others))
            place += len(item["token"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return []
    return found if "".join(token for _, token, _ in found).startswith(text) else []


def _first(tokens: list[_Token], place: int, choices: tuple[str, str]) -> float | None:
    """P(first choice) by the token that holds the character at `place`, where the word begins."""
    start, token, others = next(t for t in reversed(tokens) if t[0] <= place)
    before = token[: place - start]
    weights = [0.0, 0.0]
    for other, logprob in dict(others).items():
        rest = other[len(before) :]
        if other.startswith(before) and rest and math.isfinite(logprob):
            for index, word in enumerate(choices):
                if rest.startswith(word) or word.startswith(rest):
                    weights[index] += math.exp(min(0.0, logprob))
    return weights[0] / sum(weights) if sum(weights) else None
