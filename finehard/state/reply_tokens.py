"""How long the replies in a finished dataset's journal are, for reports."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from finehard.dataset.layout import JOURNAL
from finehard.io import storage
from finehard.io.parquet import read_table


def reply_tokens(
    dataset: str, stage: str, fingerprint: str, seed: int = 0
) -> Iterator[NDArray[np.int64]]:
    """Completion tokens of replies to `stage`'s questions that fitted at the first request.

    One array per part of the journal, in random order; nothing if the dataset was copied without
    its journal. Replies whose tokens the server did not count are left out, damaged parts too.
    """
    parts = list(storage.walk(storage.join(dataset, JOURNAL, stage, fingerprint)))
    random.Random(seed).shuffle(parts)
    for part in parts:
        try:
            with storage.open_read(part.uri) as file:
                table = read_table(file, columns=["requests", "completion_tokens"])
        except (OSError, pa.ArrowException):
            continue
        requests, tokens = (column.to_numpy() for column in table.columns)
        yield tokens[(requests == 1) & (tokens > 0)]
