"""Calls a stage on a record; whatever fails in the stage's code is one line that names both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from finehard.errors import FinehardError
from finehard.records import Record, Reject
from finehard.stages.stage import Stage


def call(
    stage: Stage, method: Callable[..., Record | Reject], record: Record, *arguments: Any
) -> Record | Reject:
    """Returns `method(record, *arguments)`, a method of `stage`.

    Raises `FinehardError` where it raises, returns something else, or adds to `record.extra` what
    is not JSON.
    """
    try:
        result = method(record, *arguments)
        if not isinstance(result, Record | Reject):
            raise TypeError(f"it returned {type(result).__name__}, not a Record or Reject")
        if isinstance(result, Record) and result.extra is not record.extra:
            orjson.dumps(result.extra)
    except FinehardError:
        raise
    except Exception as error:  # a user's stage can fail in any way
        line = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise FinehardError(f"stage {stage.name} failed on {record.key}: {line}") from error
    return result
