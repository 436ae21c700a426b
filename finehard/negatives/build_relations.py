"""Rebuilds `data/relations.txt.xz` from WordNet 3.0's database files.

    apt-get download wordnet-base && dpkg -x wordnet-base_*.deb wn
    python -m finehard.negatives.build_relations wn/usr/share/wordnet

The output is deterministic. The format is described in `relations.py`; the licence is in
`finehard/phrases/data/LICENSE.wordnet`.
"""

from __future__ import annotations

import lzma
import re
import sys
from pathlib import Path
from typing import NamedTuple

OUT = Path(__file__).parent / "data" / "relations.txt.xz"
SENSES = {"a": 3, "n": 2, "v": 2}
"""Senses used: through rare senses nearly all words are related ("blue" as "gloomy")."""
FILES = {"a": "adj", "n": "noun", "v": "verb"}
UP = {"a": {"&"}, "n": {"@"}, "v": {"@"}}
"""Pointers followed: hypernyms; for adjectives "similar to"."""
CATEGORIES = {"a": {0}, "n": {6, 7, 25, 26, 27}, "v": {29, 30, 34, 35, 38, 39, 42}}
"""Lexicographer files used: adjectives; nouns of artifacts (fabrics), attributes (colours), shapes,
states, substances; verbs of body, change, consumption, contact, motion, perception, stative."""
WORD = re.compile(r"[a-z][a-z'-]*")


class Synset(NamedTuple):
    """A synset: its lexicographer file, the synsets above it and those opposite to it."""

    category: int
    above: list[str]
    opposite: list[str]


def _synsets(folder: Path, pos: str) -> dict[str, Synset]:
    """Returns the synsets of a part of speech by offset."""
    synsets = {}
    for line in (folder / f"data.{FILES[pos]}").read_text("utf-8").splitlines():
        if line.startswith("  "):
            continue
        fields = line.split(" | ")[0].split()
        start = 5 + 2 * int(fields[3], 16)
        pointers = [fields[n : n + 4] for n in range(start, start + 4 * int(fields[start - 1]), 4)]
        up = [target for symbol, target, *_ in pointers if symbol in UP[pos]]
        against = [target for symbol, target, *_ in pointers if symbol == "!" and pos == "a"]
        above = [] if fields[2] == "a" else up
        synsets[fields[0]] = Synset(int(fields[1]), above, against)
    return synsets


def build(folder: Path) -> bytes:
    """Returns the compressed relations, from a folder with WordNet's database files."""
    words: dict[str, list[str]] = {}
    above: dict[str, list[str]] = {}
    opposite: dict[str, list[str]] = {}
    for pos, name in FILES.items():
        synsets = _synsets(folder, pos)
        for line in (folder / f"index.{name}").read_text("utf-8").splitlines():
            if line.startswith("  "):
                continue
            parts = line.split()
            if not WORD.fullmatch(parts[0]):
                continue
            offsets = parts[-int(parts[2]) :][: SENSES[pos]]
            used = [o for o in offsets if synsets[o].category in CATEGORIES[pos]]
            words.setdefault(parts[0], []).extend(pos + offset for offset in used)
            for offset in used:
                above[pos + offset] = [pos + up for up in synsets[offset].above]
        opposite |= {pos + o: [pos + a for a in s.opposite] for o, s in synsets.items()}
    numbers: dict[str, int] = {}
    named = {word: ids for word, ids in sorted(words.items()) if ids}
    for some in (*named.values(), *above.values()):
        for synset in some:
            numbers.setdefault(synset, len(numbers))
    for synset in above:
        numbers.setdefault(synset, len(numbers))
    lines = [f"{word} {' '.join(str(numbers[i]) for i in ids)}" for word, ids in named.items()]
    lines.append("#above")
    tops = sorted((numbers[i], sorted(numbers[u] for u in up)) for i, up in above.items() if up)
    lines += [f"{number} {' '.join(map(str, up))}" for number, up in tops]
    lines.append("#opposite")
    pairs = {(numbers[i], numbers[a]) for i, some in opposite.items() if i in numbers
             for a in some if a in numbers}  # fmt: skip
    lines += [f"{one} {other}" for one, other in sorted(pairs) if one < other]
    return lzma.compress(("\n".join(lines) + "\n").encode(), preset=9 | lzma.PRESET_EXTREME)


def main() -> None:
    """Writes the file into `data/`."""
    packed = build(Path(sys.argv[1]))
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_bytes(packed)
    print(f"{len(packed)} bytes")


if __name__ == "__main__":
    main()
