"""The tokenizer: the model folder's own, or a small one trained on the shards' texts."""

from __future__ import annotations

import heapq
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain, pairwise
from typing import Any

from tokenizers import pre_tokenizers, processors
from transformers import AutoTokenizer, CLIPTokenizer, Siglip2Tokenizer

from finehard.dataset.shard import UnreadableSample
from finehard.errors import FinehardError, error_line
from finehard.fgclip.packing import Text
from finehard.fgclip.reader import ShardReader
from finehard.fgclip.sampler import SampleIndex
from finehard.fgclip.siglip2 import is_siglip2, read_config

UNCUT = 1 << 30
"""A limit that cuts no text."""

_WORD_END = "</w>"
_SPACE = "\u2581"
"""What Gemma's tokenizer writes for a space."""
_UNPLAIN = re.compile(r"'|<\|")


def load_tokenizer(folder: str | os.PathLike[str]) -> Any:
    """Loads the tokenizer of a model folder, whose code is not run: that of a published FG-CLIP 2
    asks for it. Raises `FinehardError`."""
    name = os.fspath(folder)
    try:
        config = read_config(name) if is_siglip2(name) else None
        return AutoTokenizer.from_pretrained(name, config=config, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise FinehardError(f"no tokenizer in {folder}: {error_line(error)}") from None


class Tokens:
    """Tokenizes texts, truncating them to a limit before the end-of-text token.

    CLIP's tokenizer encodes what stands between two spaces independently of the rest, so it is
    cached where nothing else can join or split it: printable ASCII without apostrophes and markup.
    """

    def __init__(self, tokenizer: Any) -> None:
        backend = tokenizer.backend_tokenizer
        backend.no_truncation()  # a saved tokenizer keeps the length and padding of its last use
        backend.no_padding()
        self._encode = backend.encode
        self._by_word = isinstance(tokenizer, CLIPTokenizer)
        self._begin = (int(tokenizer.bos_token_id),) if self._by_word else ()
        self.padding = int(tokenizer.pad_token_id or 0)
        self._end = (int(tokenizer.eos_token_id),)
        self._word = lru_cache(100_000)(self._encode_word)
        self._short_text = lru_cache(50_000)(self._encode_text)

    def __call__(self, text: str, limit: int) -> Text:
        """Returns the ids of `text` with begin and end of text, at most `limit`."""
        ids = self._short_text(text) if len(text) < 100 else self._encode_text(text)
        return ids if len(ids) <= limit else ids[: limit - 1] + self._end

    def _encode_text(self, text: str) -> Text:
        if self._by_word and text.isascii() and text.isprintable() and not _UNPLAIN.search(text):
            words = map(self._word, text.lower().split())
            return (*self._begin, *chain.from_iterable(words), *self._end)
        return tuple(self._encode(text).ids)

    def _encode_word(self, word: str) -> Text:
        return tuple(self._encode(word).ids[1:-1])


def make_tokenizer(texts: Iterable[str], size: int) -> CLIPTokenizer:
    """Trains a byte-level BPE tokenizer like CLIP's, with at most `size` tokens, on `texts`.

    As in CLIP, the vocabulary is all 256 bytes, inside and at the end of a word, then the merges,
    then begin and end of text, so that the end has the highest id. Equal texts give equal
    tokenizers, which the trainers of `tokenizers` do not guarantee for equally frequent pairs.
    """
    backend = CLIPTokenizer().backend_tokenizer
    words: Counter[str] = Counter()
    for text, count in Counter(texts).items():
        normal = backend.normalizer.normalize_str(text)
        for word, _ in backend.pre_tokenizer.pre_tokenize_str(normal):
            words[word] += count
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = [*alphabet, *(a + _WORD_END for a in alphabet)]
    merges = _merges(words, size - len(names) - 2)
    names = list(dict.fromkeys([*names, *(a + b for a, b in merges)]))
    names += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={name: i for i, name in enumerate(names)}, merges=merges)


def make_gemma_tokenizer(texts: Iterable[str], size: int) -> Siglip2Tokenizer:
    """Trains a tokenizer like SigLIP 2's (Gemma's, in lower case) on `texts`.

    It has at most `size` tokens, more only where special tokens, the 256 bytes that spell unknown
    characters, and the characters of `texts` are more. Texts end with the end-of-text token. Equal
    texts give equal tokenizers.
    """
    words: Counter[str] = Counter()
    for text, count in Counter(texts).items():
        for word in re.findall(
            f"{_SPACE}?[^{_SPACE}]+|{_SPACE}", text.lower().replace(" ", _SPACE)
        ):
            words[word] += count
    alphabet = sorted(set("".join(words)) | {_SPACE})
    names = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{i:02X}>" for i in range(256))]
    names += alphabet
    merges = _merges(words, size - len(names), "")
    names = list(dict.fromkeys([*names, *(a + b for a, b in merges)]))
    vocabulary = {name: i for i, name in enumerate(names)}
    tokenizer = Siglip2Tokenizer(vocab=vocabulary, merges=merges, padding_side="right")
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", vocabulary["<eos>"])]
    )
    return tokenizer


def _merges(words: Counter[str], most: int, end: str = _WORD_END) -> list[tuple[str, str]]:
    """Learns byte pair encoding (arXiv 1508.07909, algorithm 1): merges the most frequent pair, of
    equally frequent ones the first in alphabetical order. Pairs that occur once are not merged.
    `end` marks the last character of a word."""
    ordered = sorted(words)
    spelling = [[*word[:-1], word[-1] + end] for word in ordered]
    times = [words[word] for word in ordered]
    counts: Counter[tuple[str, str]] = Counter()
    where: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for i, parts in enumerate(spelling):
        for pair in pairwise(parts):
            counts[pair] += times[i]
            where[pair].add(i)
    queue = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(queue)
    merges: list[tuple[str, str]] = []
    while queue and len(merges) < most:
        count, pair = heapq.heappop(queue)
        if -count != counts[pair]:
            continue  # outdated: the pair is in the queue again with its new count
        if -count < 2:
            break
        merges.append(pair)
        changed = set()
        for i in where.pop(pair):
            before, spelling[i] = spelling[i], _merge(spelling[i], pair)
            for parts, sign in ((before, -1), (spelling[i], 1)):
                for other in pairwise(parts):
                    counts[other] += sign * times[i]
                    changed.add(other)
                    if sign > 0:
                        where[other].add(i)
        for other in changed:
            if counts[other] > 0:
                heapq.heappush(queue, (-counts[other], other))
    return merges


def _merge(parts: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    i = 0
    while i < len(parts):
        if tuple(parts[i : i + 2]) == pair:
            merged.append(parts[i] + parts[i + 1])
            i += 2
        else:
            merged.append(parts[i])
            i += 1
    return merged


def texts_of(reader: ShardReader, most: int) -> Iterator[str]:
    """Yields all texts of the first `most` samples, leaving out what is unreadable or no text."""
    for number, shard in enumerate(reader.shards):
        for index in range(min(shard.samples, most)):
            try:
                sample = reader.read(SampleIndex(number, index)).sample
                yield from (t for t in _texts(sample) if isinstance(t, str))
            except (UnreadableSample, AttributeError, KeyError, TypeError):
                continue
        most -= shard.samples
        if most <= 0:
            return


def _texts(sample: dict[str, Any]) -> Iterator[Any]:
    yield from map(sample.get, ("short_caption", "long_caption", "caption"))
    for region in sample["regions"]:
        yield region["short_expr"]
        yield region["long_expr"]
        yield from (n["text"] for n in region["hard_negatives"])
