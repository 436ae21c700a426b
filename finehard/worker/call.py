"""Calls a stage on a record; whatever fails in the stage's code is one line that names both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import orjson

from finehard.errors import FinehardError, typed_error_line
from finehard.records import Record, Reject
from finehard.stages.stage import Stage

R = TypeVar("R")


def call(stage: Stage, method: Callable[..., R], record: Record, *arguments: Any) -> R:
    """Returns `method(record, *arguments)`, a method of `stage`.

    Raises `FinehardError` where it raises.
    """
    try:
        return method(record, *arguments)
    except FinehardError:
        raise
    except Exception as error:  # a user's stage can fail in any way
        raise _failure(stage, record, error) from error


def call_for_result(
    stage: Stage, method: Callable[..., Record | Reject], record: Record, *arguments: Any
) -> Record | Reject:
    """As `call`, for a method that returns a record or a reject.

    Also raises `FinehardError` where it returns something else, or has added to `record.extra`
    what is not JSON.
    """
    result = call(stage, method, record, *arguments)
    try:
        if not isinstance(result, Record | Reject):
            raise TypeError(f"it returned {type(result).__name__}, not a Record or Reject")
        if isinstance(result, Record) and result.extra is not record.extra:
            orjson.dumps(result.extra)
    except TypeError as error:
        raise _failure(stage, record, error) from error
    return result


def _failure(stage: Stage, record: Record, error: Exception) -> FinehardError:
    return FinehardError(f"stage {stage.name} failed on {record.key}: {typed_error_line(error)}")
