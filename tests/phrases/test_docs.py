"""The spaCy backend, with Docs built by hand in place of a model, which needs a download."""

import spacy
from spacy.tokens import Doc

from finehard.phrases import docs
from finehard.phrases.chunks import join_units
from finehard.phrases.docs import read
from finehard.phrases.rules import Extraction, select

VOCAB = spacy.blank("en").vocab


def parsed(rows: list[tuple[str, str, str, int, str]]) -> Doc:
    """Returns a Doc as from a parser; rows are (word, pos, lemma, head, dep)."""
    words = [r[0] for r in rows]
    return Doc(
        VOCAB,
        words=words,
        pos=[r[1] for r in rows],
        lemmas=[r[2] for r in rows],
        heads=[r[3] for r in rows],
        deps=[r[4] for r in rows],
        morphs=["Number=Plur" if r[1] == "NOUN" and r[0] != r[2] else "" for r in rows],
    )


def select_of(doc: Doc) -> Extraction:
    tokens, chunks = read(doc)
    return select(tokens, join_units(tokens, chunks), True, 20)


def test_parser_chunks_pass_the_same_rules():
    doc = parsed(
        [
            ("She", "PRON", "she", 1, "nsubj"),
            ("wears", "VERB", "wear", 1, "ROOT"),
            ("the", "DET", "the", 3, "det"),
            ("pair", "NOUN", "pair", 1, "dobj"),
            ("of", "ADP", "of", 3, "prep"),
            ("red", "ADJ", "red", 6, "amod"),
            ("shoes", "NOUN", "shoe", 4, "pobj"),
            ("in", "ADP", "in", 1, "prep"),
            ("the", "DET", "the", 9, "det"),
            ("background", "NOUN", "background", 7, "pobj"),
            (".", "PUNCT", ".", 1, "punct"),
        ]
    )
    found = select_of(doc)
    assert [(p.text, p.head) for p in found.phrases] == [("a pair of red shoes", "shoe")]
    assert found.dropped == {"pronoun": ["she"], "ungroundable": ["the background"]}


def test_parser_chunk_without_a_noun_is_dropped():
    doc = parsed(
        [
            ("A", "DET", "a", 1, "det"),
            ("larger", "ADJ", "large", 2, "nsubj"),
            ("appears", "VERB", "appear", 2, "ROOT"),
            (".", "PUNCT", ".", 2, "punct"),
        ]
    )
    found = select_of(doc)
    assert not found.phrases
    assert set(found.dropped) <= {"lost_noun"}


def test_what_spacy_keeps_of_new_words_is_bounded(monkeypatch):
    made = []

    def blank(make=docs._blank):
        made.append(make())
        return made[-1]

    monkeypatch.setattr(docs, "_blank", blank)
    monkeypatch.setattr(docs, "_MOST_STRINGS", 300)
    read_text = docs.reader("wordnet", "")
    start = len(made[0].vocab.strings)
    for n in range(400):
        tokens, chunks = read_text(f"A red mug beside glorp{n}.")
        assert tokens.lower[:3] == ["a", "red", "mug"] and chunks
    assert len(made) > 1 and max(len(nlp.vocab.strings) for nlp in made) < start + 400
