"""Cached text embeddings of phrases."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from finehard.detect.loading import Runtime, fixed_batches

if TYPE_CHECKING:
    import torch

CACHED = 20_000
"""Embeddings in the cache; 40 MB with 512 floats each. Phrases recur often within a dataset."""


class PhraseEmbedder:
    """Embeds phrases with a text model, with a least-recently-used cache.

    `encode` maps token ids and attention mask, both (rows, length), to (rows, D). Phrases are
    padded to one of `lengths` (ascending) and truncated to the last. The embedding of a phrase
    does not depend on the rest of the batch.
    """

    def __init__(
        self,
        tokenizer: Any,
        encode: "Callable[[torch.Tensor, torch.Tensor], torch.Tensor]",
        lengths: Sequence[int],
        runtime: Runtime,
    ) -> None:
        self._tokenizer = tokenizer
        self._encode = encode
        self._lengths = lengths
        self._runtime = runtime
        self._cache: OrderedDict[str, torch.Tensor] = OrderedDict()

    def _embed(self, phrases: Sequence[str]) -> None:
        import torch

        pad = self._tokenizer.pad_token_id or 0
        by_length: dict[int, list[tuple[str, list[int]]]] = {}
        for phrase in phrases:
            # Truncation keeps the end-of-text token, from which CLIP takes the embedding.
            ids = self._tokenizer(phrase, truncation=True, max_length=self._lengths[-1])
            tokens = ids["input_ids"]
            length = next(length for length in self._lengths if length >= len(tokens))
            by_length.setdefault(length, []).append((phrase, tokens))
        for length, texts in by_length.items():
            for batch, real in fixed_batches(texts, self._runtime.rows):
                rows = [ids + [pad] * (length - len(ids)) for _, ids in batch]
                mask = [[1] * len(ids) + [0] * (length - len(ids)) for _, ids in batch]
                embedded = self._encode(
                    torch.tensor(rows, device=self._runtime.device),
                    torch.tensor(mask, device=self._runtime.device),
                )
                for (phrase, _), embedding in zip(batch[:real], embedded[:real], strict=True):
                    self._cache[phrase] = embedding

    def __call__(self, phrases: Sequence[str]) -> "torch.Tensor":
        """Returns unit-length embeddings, (len(phrases), D), on the model's device."""
        import torch

        new = [phrase for phrase in dict.fromkeys(phrases) if phrase not in self._cache]
        self._embed(new)
        rows = [self._cache[phrase] for phrase in phrases]
        for phrase in phrases:
            self._cache.move_to_end(phrase)
        while len(self._cache) > CACHED:
            self._cache.popitem(last=False)
        return torch.nn.functional.normalize(torch.stack(rows), dim=-1)
