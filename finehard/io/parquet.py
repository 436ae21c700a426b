"""Reads whole Parquet files."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def read_table(file: Any, **options: Any) -> pa.Table:
    """Returns all of `file` (opened, or its bytes as a buffer); `options` as for pyarrow.

    In the calling thread: with pyarrow 25, a process that exits soon after a read in threads often
    aborts ("terminate called without an active exception"). These files are small.
    """
    return pq.read_table(file, use_threads=False, **options)
