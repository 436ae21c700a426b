"""Rebuilds `data/lexicon.txt.xz` and `data/LICENSE.wordnet` from WordNet 3.0's database files.

    apt-get download wordnet-base && dpkg -x wordnet-base_*.deb wn
    python -m finehard.phrases.build_lexicon wn/usr/share/wordnet

The output is deterministic. The format is described in `lexicon.py`.
"""

from __future__ import annotations

import lzma
import re
import sys
from collections import defaultdict
from pathlib import Path

DATA = Path(__file__).parent / "data"
POS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
SENSES = 6
"""Noun senses stored; later ones are rare, and no rule uses them."""
WORD = re.compile(r"[a-z][a-z'-]*")
PAIR = re.compile(r"[a-z]+_[a-z]+")
PAIR_CATEGORIES = frozenset({5, 6, 13, 18})
"""Animal, artifact, food, person: categories of the two-word nouns that are stored."""
BROADER = PAIR_CATEGORIES | {8, 17, 20}
"""With body, object and plant: the categories whose nouns are stored with their hypernyms."""
TOP = frozenset(
    ("entity", "object", "whole", "unit", "thing", "artifact", "artefact", "organism", "being",
     "cause", "agent", "creation", "product", "structure", "part", "piece", "location", "region",
     "area", "way", "substance", "matter", "material")
)  # fmt: skip
"""Hypernyms too broad to refer back to an object."""
VENUES = (
    "room", "place_of_business", "workplace", "station", "athletic_facility", "menagerie",
    "airfield", "restaurant", "medical_building", "depository", "outbuilding", "stadium",
    "public_square", "playground", "farm", "school", "theater",
)  # fmt: skip
"""Hypernyms of places that can contain a whole scene: rooms, shops, stations, stadiums."""


def _counts(folder: Path) -> dict[tuple[str, str, int], int]:
    """Returns the number of taggings by (lemma, part of speech, sense number)."""
    counts: dict[tuple[str, str, int], int] = defaultdict(int)
    for line in (folder / "cntlist.rev").read_text("utf-8").splitlines():
        key, sense, count = line.split(" ")
        lemma, rest = key.split("%")
        counts[lemma, "nvara"[int(rest[0]) - 1], int(sense)] += int(count)
    return counts


def _noun_categories(folder: Path) -> dict[str, int]:
    """Returns the number of the lexicographer file (3 to 28) by synset offset."""
    lines = (folder / "data.noun").read_text("utf-8").splitlines()
    return {line[:8]: int(line[9:11]) for line in lines if not line.startswith("  ")}


def _entries(folder: Path) -> dict[str, list[str]]:
    counts, categories = _counts(folder), _noun_categories(folder)
    entries: dict[str, list[str]] = defaultdict(list)
    for pos, name in POS.items():
        for line in (folder / f"index.{name}").read_text("utf-8").splitlines():
            if line.startswith("  "):
                continue
            parts = line.split()
            lemma, senses = parts[0], int(parts[2])
            pair = pos == "n" and PAIR.fullmatch(lemma)
            if not (WORD.fullmatch(lemma) or pair):
                continue
            tagged = [counts.get((lemma, pos, k + 1), 0) for k in range(senses)]
            if pos != "n":
                entries[lemma].append(f"{pos}{senses},{sum(tagged)}")
                continue
            kinds = [categories[offset] for offset in parts[-senses:]]
            if pair and kinds[0] not in PAIR_CATEGORIES:
                continue
            if pair:
                lemma = lemma.replace("_", " ")
            letters = "".join(chr(ord("a") + kind - 3) for kind in kinds[:SENSES])
            each = ".".join(str(t) if t else "" for t in tagged[:SENSES]).rstrip(".")
            entries[lemma].append(f"n{senses},{sum(tagged)},{letters},{each}")
    return entries


def _relations(folder: Path) -> tuple[list[str], list[str]]:
    """Returns the lines of the blocks `broader` (noun, its hypernyms) and `venue` (noun, 1)."""
    counts = _counts(folder)
    used = {lemma for (lemma, pos, _), count in counts.items() if pos == "n" and count}
    words: dict[str, list[str]] = {}
    above: dict[str, list[str]] = {}
    category: dict[str, int] = {}
    for line in (folder / "data.noun").read_text("utf-8").splitlines():
        if line.startswith("  "):
            continue
        parts = line.split(" | ")[0].split()
        end = 4 + 2 * int(parts[3], 16)
        words[parts[0]] = [word.lower() for word in parts[4:end:2]]
        pointers = parts[end + 1 :]
        above[parts[0]] = [pointers[k + 1] for k in range(0, len(pointers), 4)
                           if pointers[k] in ("@", "@i")]  # fmt: skip
        category[parts[0]] = int(parts[1])

    def ancestors(offset: str) -> list[str]:
        chain = [offset]
        for one in chain:
            chain += [up for up in above[one] if up not in chain]
        return chain[1:]

    broader, venues = [], []
    for line in (folder / "index.noun").read_text("utf-8").splitlines():
        lemma, *parts = line.split()
        if line.startswith("  ") or not WORD.fullmatch(lemma):
            continue
        senses = parts[-int(parts[1]) :]
        near = ancestors(senses[0]) if category[senses[0]] in BROADER else []
        names = [w for up in near for w in words[up] if w in used and w not in TOP and w != lemma]
        names = [w for w in dict.fromkeys(names) if WORD.fullmatch(w)]
        if names:
            broader.append(f"{lemma} {','.join(names)}")
        chains = [one for sense in senses[:1] for one in (sense, *ancestors(sense))]
        if any(words[one][0] in VENUES and category[one] != 14 for one in chains):
            venues.append(f"{lemma} 1")
    return sorted(broader), sorted(venues)


def _irregular(folder: Path, name: str) -> list[str]:
    lines = []
    for line in (folder / f"{name}.exc").read_text("utf-8").splitlines():
        form, *lemmas = line.split()
        if lemmas and WORD.fullmatch(form) and WORD.fullmatch(lemmas[0]):
            lines.append(f"{form} {lemmas[0]}")
    return sorted(set(lines))


def build(folder: Path) -> tuple[bytes, str]:
    """Returns the compressed lexicon and the licence, from a folder with WordNet's files."""
    entries = _entries(folder)
    lines = ["WordNet 3.0", *(f"{w}\t{' '.join(e)}" for w, e in sorted(entries.items()))]
    for name in ("noun", "verb", "adj"):
        lines += [f"#{name}", *_irregular(folder, name)]
    broader, venues = _relations(folder)
    lines += ["#broader", *broader, "#venue", *venues]
    text = ("\n".join(lines) + "\n").encode("utf-8")
    head = (folder / "data.noun").read_text("utf-8").splitlines()[:29]
    licence = "\n".join(re.sub(r"^ +\d+ ", "", line).rstrip() for line in head) + "\n"
    return lzma.compress(text, preset=9 | lzma.PRESET_EXTREME), licence


def main() -> None:
    """Writes both files into `data/`."""
    packed, licence = build(Path(sys.argv[1]))
    DATA.mkdir(exist_ok=True)
    (DATA / "lexicon.txt.xz").write_bytes(packed)
    (DATA / "LICENSE.wordnet").write_text(licence, "utf-8")
    print(f"{len(packed)} bytes")


if __name__ == "__main__":
    main()
