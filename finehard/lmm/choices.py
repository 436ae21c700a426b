"""Probabilities of the words in a yes/no reply, computed from the server's log-probabilities."""

from __future__ import annotations

import json
import math
import re
from typing import Any

_ENTRY = re.compile(r'("(?:[^"\\]|\\.)*")\s*:\s*"([^"\\]*)"')


def probabilities(
    value: dict[str, str], choices: tuple[str, str], text: str, choice: dict[str, Any]
) -> dict[str, float]:
    """Returns P(`choices[0]`) against `choices[1]`, in [0, 1], for each key of `value`.

    `text` is the reply that `value` was parsed from, `choice` the server's object around it. If
    that has no log-probabilities, or none that add up to `text`, each value is 1.0 or 0.0.
    """
    result = {key: float(word == choices[0]) for key, word in value.items()}
    tokens = _tokens(choice, text)
    for entry in _ENTRY.finditer(text) if tokens else ():
        probability = _first_choice_probability(tokens, entry.start(2), choices)
        if probability is not None:
            result[json.loads(entry[1])] = round(probability, 4)
    return {key: result[key] for key in value}


_Token = tuple[int, str, list[tuple[str, float]]]
"""Character offset in the reply, text, and (text, log-probability) of every alternative."""


def _tokens(choice: dict[str, Any], text: str) -> list[_Token]:
    """Returns the tokens of `text`; an empty list if `choice` does not report them."""
    tokens: list[_Token] = []
    offset = 0
    try:
        for item in choice["logprobs"]["content"]:
            others = [(o["token"], float(o["logprob"])) for o in item.get("top_logprobs") or []]
            others.append((item["token"], float(item["logprob"])))
            tokens.append((offset, item["token"], others))
            offset += len(item["token"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return []
    return tokens if "".join(token for _, token, _ in tokens).startswith(text) else []


def _first_choice_probability(
    tokens: list[_Token], position: int, choices: tuple[str, str]
) -> float | None:
    """Returns P(first choice) for the word that begins at `position`; None if it is unknown.

    The token that contains the word's first character decides.
    """
    start, token, others = next(t for t in reversed(tokens) if t[0] <= position)
    prefix = token[: position - start]
    weights = [0.0, 0.0]
    for other, logprob in dict(others).items():
        remainder = other[len(prefix) :]
        if other.startswith(prefix) and remainder and math.isfinite(logprob):
            for index, word in enumerate(choices):
                if remainder.startswith(word) or word.startswith(remainder):
                    weights[index] += math.exp(min(0.0, logprob))
    return weights[0] / sum(weights) if sum(weights) else None
