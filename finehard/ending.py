"""What is left to do once a run has written its dataset: the report, and tidying up."""

from __future__ import annotations

import json
import logging
import shlex
import time
from typing import Any, NamedTuple

from finehard.dataset import complete
from finehard.dataset.layout import MANIFEST
from finehard.errors import FinehardError, error_line
from finehard.io import storage
from finehard.preflight import Ready
from finehard.running import counts_of
from finehard.state import current_run, members
from finehard.state.current_run import MadeOf
from finehard.state.finished import save_finished
from finehard.state.runs import record_run

_log = logging.getLogger(__name__)


class Built(NamedTuple):
    """A finished build. `counts` are those that `Progress` got last."""

    output: str
    manifest: dict[str, Any]
    counts: dict[str, Any]
    seconds: float


def end_run(
    ready: Ready, output: str, run: str, began: float, made_of: MadeOf, identity: str | None
) -> Built:
    """Writes the report of `run`, which has written the dataset, and deletes what only it needed.

    `began` is in seconds since 1970, `identity` the input's, None where that cannot be told
    cheaply. May be repeated until the end, which forgets the run.
    """
    from finehard.worker import status

    manifest = json.loads(storage.read_all(storage.join(output, MANIFEST)))
    ended = current_run.completed_at(output, run) or time.time()
    counts, seconds = counts_of(ready, output, run), max(0.0, ended - began)
    members.forget(output)
    _write_report(output, run, seconds, counts)
    if identity:
        save_finished(output, made_of["settings"], identity, made_of["removals"])
    complete.remove_side_files(output, run)
    storage.delete_tree(status.folder(output, run))
    current_run.end(output, run)
    return built(output, manifest, counts, seconds)


def built(output: str, manifest: dict[str, Any], counts: dict[str, Any], seconds: float) -> Built:
    """Returns a finished build. Raises `FinehardError` if all its images were rejected."""
    if manifest["counts"]["written"] == 0:
        [(reason, number)] = sorted(manifest["rejects"].items(), key=lambda r: -r[1])[:1]
        raise FinehardError(
            f"nothing could be written: all {manifest['counts']['read']} images were "
            f"rejected, {number} for {reason}; see {storage.join(output, 'rejected')}"
        )
    return Built(output, manifest, counts, seconds)


def _write_report(output: str, run: str, seconds: float, counts: dict[str, Any]) -> None:
    """Writes report.html; a dataset is whole without one, so a failure is only logged."""
    from finehard.report import report

    try:
        record_run(output, run, seconds, counts["stages"])
        report(output)
    except Exception as error:
        line = error_line(error, 200)
        _log.warning(
            "no report.html (%s: %s); the dataset is complete, try: finehard report %s",
            type(error).__name__, line, shlex.quote(output),
        )  # fmt: skip
