"""Superficial signs of a negative: a wrong article, its length, its capitals."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from finehard.article import article
from finehard.audit.item import Item

_ARTICLE = re.compile(r"(?<![\w'.-])(an?)\s+(\S+)", re.IGNORECASE)


@lru_cache(100_000)
def _article(word: str) -> str:
    return article(word)


def article_errors(text: str) -> int:
    """How many times a text has "a" instead of "an", or the reverse."""
    return sum(used.lower() != _article(word) for used, word in _ARTICLE.findall(text))


def _case(text: str) -> tuple[bool, bool]:
    return text[:1].isupper(), text[1:] == text[1:].lower()


class Surface:
    """Counts over items."""

    def __init__(self) -> None:
        self.items = self.negatives = 0
        self._positive_errors = self._negative_errors = 0
        self._shorter = self._longer = self._words = self._characters = 0
        self._case = self._end = 0

    def add(self, item: Item) -> None:
        """Counts one item."""
        positive, *negatives = item.texts
        words, case, end = len(positive.split()), _case(positive), _end(positive)
        self.items += 1
        self.negatives += len(negatives)
        self._positive_errors += article_errors(positive) > 0
        for text in negatives:
            more = len(text.split()) - words
            self._words += more
            self._characters += len(text) - len(positive)
            self._shorter += more < 0
            self._longer += more > 0
            self._negative_errors += article_errors(text) > 0
            self._case += _case(text) != case
            self._end += _end(text) != end

    def figures(self) -> dict[str, Any]:
        """Shares of texts with article errors and of negatives that differ from the positive.

        Differences are means of negative minus positive.
        """
        count = self.negatives
        return {
            "article_errors_positives": round(self._positive_errors / self.items, 5),
            "article_errors_negatives": round(self._negative_errors / count, 5),
            "fewer_words": round(self._shorter / count, 4),
            "more_words": round(self._longer / count, 4),
            "words_difference": round(self._words / count, 4),
            "characters_difference": round(self._characters / count, 3),
            "case_differs": round(self._case / count, 5),
            "last_mark_differs": round(self._end / count, 5),
        }


def _end(text: str) -> str:
    last = text.rstrip()[-1:]
    return "" if last.isalnum() else last
