"""The tokenizer: the model folder's own, or a small one like CLIP's made from the shards' texts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from tokenizers import pre_tokenizers, trainers
from transformers import AutoTokenizer, CLIPTokenizer

from finehard.errors import FinehardError
from finehard.fgclip.order import Place
from finehard.fgclip.reader import ShardReader, Unreadable

_WORD_END = "</w>"


def load_tokenizer(folder: str | os.PathLike[str]) -> Any:
    """The tokenizer in a model folder. Raises `FinehardError`."""
    try:
        return AutoTokenizer.from_pretrained(os.fspath(folder))
    except (OSError, ValueError, KeyError) as error:
        line = " ".join(str(error).split())[:300]
        raise FinehardError(f"no tokenizer in {folder}: {line}") from None


def make_tokenizer(texts: Iterable[str], size: int) -> CLIPTokenizer:
    """A byte-level BPE tokenizer as CLIP's, with at most `size` tokens, learned from `texts`.

    As in CLIP, all 256 bytes come first, once within and once at the end of a word, then the
    merges, then begin and end of text, so that the end has the highest id.
    """
    learner = CLIPTokenizer().backend_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(alphabet) - 2,
        initial_alphabet=alphabet,
        end_of_word_suffix=_WORD_END,
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    merges = [tuple(m) for m in _model(learner)["merges"]]
    names = [*alphabet, *(a + _WORD_END for a in alphabet), *(a + b for a, b in merges)]
    names = list(dict.fromkeys(names)) + ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={name: i for i, name in enumerate(names)}, merges=merges)


def _model(tokenizer: Any) -> dict[str, Any]:
    import json

    return json.loads(tokenizer.to_str())["model"]


def texts_of(reader: ShardReader, most: int) -> Iterator[str]:
    """All texts of the first `most` readable samples."""
    for number, shard in enumerate(reader.shards):
        for place in range(min(shard.samples, most)):
            try:
                sample = reader.read(Place(number, place)).sample
                yield sample["short_caption"]
                yield sample["long_caption"]
                for region in sample["regions"]:
                    yield region["short_expr"]
                    yield region["long_expr"]
                    yield from (n["text"] for n in region["hard_negatives"])
            except (Unreadable, KeyError, TypeError):
                continue
        most -= shard.samples
        if most <= 0:
            return
