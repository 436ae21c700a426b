"""Captions as spaCy Docs, and Docs as tokens and chunks. Imports spaCy."""

from __future__ import annotations

from collections.abc import Callable

import spacy
from spacy.attrs import MORPH
from spacy.tokens import Doc
from spacy.util import compile_infix_regex

from finehard.phrases.chunks import Chunk, Tokens, chunk
from finehard.phrases.tagger import set_tags


def parser(backend: str, model: str) -> Callable[[str], Doc]:
    """A function from text to a Doc with parts of speech, by a spaCy model or by WordNet."""
    if backend == "spacy":
        return spacy.load(model, exclude=["ner"])
    nlp = spacy.blank("en")
    # "half-empty" stays one token: the chunk rules read it by its last part.
    infixes = [x for x in nlp.Defaults.infixes if "-|" not in x]  # type: ignore[attr-defined]
    nlp.tokenizer.infix_finditer = compile_infix_regex(infixes).finditer  # type: ignore[attr-defined]

    def parse(text: str) -> Doc:
        doc = nlp.make_doc(text)
        set_tags(doc)
        return doc

    return parse


def read(doc: Doc) -> tuple[Tokens, list[Chunk]]:
    """A tagged Doc as tokens and base noun phrases: the parser's where it has one, else by rule."""
    items = list(doc)
    texts = [t.text for t in items]
    morphs = [int(key) for key in doc.to_array([MORPH]).ravel()]
    strings = doc.vocab.strings
    plural = {key: key != 0 and "Number=Plur" in strings[key] for key in set(morphs)}
    tokens = Tokens(
        [text.lower() for text in texts],
        texts,
        [t.pos_ for t in items],
        [t.lemma_ for t in items],
        [plural[key] for key in morphs],
        [t.idx for t in items],
    )
    if not doc.has_annotation("DEP"):
        return tokens, chunk(tokens)
    # A chunk whose root is an adjective or a determiner has lost its noun.
    nouns = ("NOUN", "PROPN", "PRON")
    chunks = [
        Chunk(c.start, c.end, c.root.i if c.root.pos_ in nouns else -1) for c in doc.noun_chunks
    ]
    return tokens, chunks
