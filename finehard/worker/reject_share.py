"""Ends a build whose models fail on too many records, before all of them are rejected."""

from __future__ import annotations

import threading
from collections import Counter

from finehard.errors import FinehardError

FROM = 200
"""Records of a stage, in one process, from which on the share of rejects counts."""

IN_A_ROW = 20
"""Rejects of a stage for one reason, one after the other, that are too many at any time. A model
that will not describe images may do so for a whole folder of them, so that is no such reason."""


class RejectShare:
    """Counts records and rejects by stage and reason in this process. Thread-safe.

    `most` is the fraction of records that may be rejected for one reason.
    """

    def __init__(self, most: float) -> None:
        self._most = most
        self._records: Counter[str] = Counter()
        self._rejects: Counter[tuple[str, str]] = Counter()
        self._row: dict[str, tuple[str | None, int]] = {}
        self._lock = threading.Lock()

    def count(self, stage: str, reason: str | None = None, detail: str = "") -> None:
        """Counts a record that is done at `stage`, rejected for `reason` if there is one.

        Raises `FinehardError` where too many are.
        """
        with self._lock:
            self._records[stage] += 1
            before, length = self._row.get(stage, (None, 0))
            row = length + 1 if reason == before else 1
            self._row[stage] = (reason, row)
            if reason is None:
                return
            self._rejects[stage, reason] += 1
            rejected, records = self._rejects[stage, reason], self._records[stage]
        many = records >= FROM and rejected > self._most * records
        if many or row >= IN_A_ROW and self._most < 1 and reason != "refused_by_model":
            raise FinehardError(
                f"{rejected} of {records} images were rejected at stage {stage} for {reason} "
                f"({detail}); none of these rejects is final: mend that, or set max_rejected above "
                f"{self._most}, and run the same command again"
            )
