"""Parses captions to spaCy Docs, and converts Docs to tokens and chunks. Imports spaCy."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from itertools import accumulate

import numpy as np
import spacy
from spacy.attrs import LEMMA, MORPH, ORTH, POS, SPACY
from spacy.language import Language
from spacy.parts_of_speech import IDS, NAMES
from spacy.strings import StringStore
from spacy.tokens import Doc
from spacy.util import compile_infix_regex

from finehard.phrases.chunks import Chunk, Tokens, chunk
from finehard.phrases.lexicon import lexicon
from finehard.phrases.tagger import tag

_MOST_STRINGS = 20_000
"""Strings that spaCy may hold before it is made anew: it frees none, and texts have new words for
ever, as names, numbers and misspellings. Its memory zones free them, for a third of the speed."""


def reader(backend: str, model: str) -> Callable[[str], tuple[Tokens, list[Chunk]]]:
    """Returns a function from text to its tokens and base noun phrases, whose parts of speech are
    from a spaCy model or WordNet. Not thread-safe."""
    make = partial(spacy.load, model, exclude=["ner"]) if backend == "spacy" else _blank
    nlp = make()
    most = len(nlp.vocab.strings) + _MOST_STRINGS
    lexicon()  # loaded now rather than with the first caption

    def read_text(text: str) -> tuple[Tokens, list[Chunk]]:
        nonlocal nlp
        if len(nlp.vocab.strings) > most:
            nlp = make()
        if backend == "spacy":
            return read(nlp(text))
        doc = nlp.make_doc(text)
        set_tags(doc)
        return read(doc)

    return read_text


def _blank() -> Language:
    nlp = spacy.blank("en")
    # "half-empty" stays one token, which is tagged by its last part.
    infixes = [x for x in nlp.Defaults.infixes if "-|" not in x]  # type: ignore[attr-defined]
    nlp.tokenizer.infix_finditer = compile_infix_regex(infixes).finditer  # type: ignore[attr-defined]
    return nlp


class _Strings(dict[int, str]):
    """A cache of spaCy's string store: hash -> string."""

    def __init__(self, store: StringStore) -> None:
        super().__init__()
        self._store = store

    def __missing__(self, key: int) -> str:
        string = self[key] = self._store[key]
        return string


_strings = lru_cache(maxsize=1)(_Strings)


def _columns(doc: Doc, attributes: list[int]) -> list[list[int]]:
    """Returns each attribute's values for all tokens, far faster than through Token objects."""
    columns: list[list[int]] = doc.to_array(attributes).T.tolist()
    return columns


def set_tags(doc: Doc) -> None:
    """Sets the part of speech, lemma and number of every token of a Doc in place."""
    if not len(doc):
        return
    strings = _strings(doc.vocab.strings)
    originals = [strings[key] for key in _columns(doc, [ORTH, SPACY])[0]]
    tags, lemmas, plurals = tag([text.lower() for text in originals], originals)
    add = doc.vocab.strings.add
    many = doc.vocab.morphology.add("Number=Plur")
    rows = [
        (IDS[t], add(lemma), many if p else 0)
        for t, lemma, p in zip(tags, lemmas, plurals, strict=True)
    ]
    doc.from_array([POS, LEMMA, MORPH], np.array(rows, dtype=np.uint64))


def read(doc: Doc) -> tuple[Tokens, list[Chunk]]:
    """Returns a Doc's tokens and base noun phrases: the parser's if it has one, else by rule."""
    strings = _strings(doc.vocab.strings)
    orths, spaces, tags, lemmas, morphs = _columns(doc, [ORTH, SPACY, POS, LEMMA, MORPH])
    texts = [strings[key] for key in orths]
    plural = {key: key != 0 and "Number=Plur" in strings[key] for key in set(morphs)}
    ends = accumulate(len(text) + space for text, space in zip(texts, spaces, strict=True))
    tokens = Tokens(
        [text.lower() for text in texts],
        texts,
        [NAMES[tag] for tag in tags],
        [strings[key] for key in lemmas],
        [plural[key] for key in morphs],
        [0, *ends][:-1],
    )
    if not doc.has_annotation("DEP"):
        return tokens, chunk(tokens)
    # A chunk whose root is an adjective or a determiner lacks its noun.
    nouns = ("NOUN", "PROPN", "PRON")
    chunks = [
        Chunk(c.start, c.end, c.root.i if c.root.pos_ in nouns else -1) for c in doc.noun_chunks
    ]
    return tokens, chunks
