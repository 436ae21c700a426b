"""Lifts the detector into the pipeline: the journal first, then a window of images."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from finehard.detect import Detection
from finehard.detect.remote import DetectionFailed
from finehard.detect.stage import Detect
from finehard.digest import digest
from finehard.errors import FinehardError
from finehard.images import ImageError
from finehard.records import Record, Reject, Usage, reject
from finehard.state.journal import Entry
from finehard.worker.runtime import Build, Runtime, runtime
from finehard.worker.window import Window


class AskDetector(beam.DoFn):
    """Records with phrases -> records with regions. Raw boxes go to the journal, so that
    thresholds can change without asking the detector again. Rejects pass through."""

    def __init__(self, name: str, fingerprint: str, build: Build) -> None:
        self._name = name
        self._build = build
        self._folder = f"{name}/{fingerprint}"

    def setup(self) -> None:
        """Gets this process's share of the build."""
        self._runtime: Runtime = runtime(self._build)
        stage = self._runtime.stages[self._name]
        assert isinstance(stage, Detect)
        self._stage = stage

    def start_bundle(self) -> None:
        """Opens a window of images, a few batches long."""
        self._window = Window(self._runtime.detector_window())

    def process(self, record: Record | Reject) -> Iterator[Record | Reject]:
        """Submits `record` to the detector, and yields whatever has been detected by now."""
        if isinstance(record, Reject):
            yield record
            return
        phrases = self._stage.question(record)
        if not phrases:
            self._runtime.status.count_done(self._name)
            yield record
            return
        key = digest([record.sha256, phrases])
        journaled = self._runtime.journal.get(self._folder, record.unit, key)
        if journaled is not None:
            yield self._selected(record, journaled.value, from_journal=True)
            return
        try:
            detected = self._runtime.detected(record, phrases)
        except ImageError as error:
            yield reject(record, self._name, error.reason, error.detail)
            return
        except (OSError, EOFError) as error:
            yield reject(record, self._name, "unreadable_image", str(error))
            return
        self._window.size = self._runtime.detector_window()
        self._window.add(record, self._saved(detected, record.unit, key))
        for item, raw in self._window.finished():
            yield self._answered(item, raw)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Yields the rest as it is detected."""
        for item, raw in self._window.drained():
            result = self._answered(item, raw)
            yield WindowedValue(result, MIN_TIMESTAMP, (GlobalWindow(),))

    def _saved(self, detected: Future[list[Detection]], unit: str, key: str) -> Future[list[Any]]:
        """Returns the future raw boxes, journaled the moment they are there."""
        saved: Future[list[Any]] = Future()

        def save(done: Future[list[Detection]]) -> None:
            try:
                raw = [[d.phrase, list(d.box), d.score] for d in done.result()]
                self._runtime.journal.put(self._folder, unit, key, Entry(raw, Usage()))
                saved.set_result(raw)
            except BaseException as error:  # raised where the boxes are awaited
                saved.set_exception(error)

        detected.add_done_callback(save)
        return saved

    def _answered(self, record: Record, saved: Future[list[Any]]) -> Record | Reject:
        try:
            with self._runtime.ending_the_build():
                return self._selected(record, saved.result(), from_journal=False)
        except FinehardError:
            raise
        except DetectionFailed as error:
            return reject(record, self._name, "detector_failed", str(error))
        except Exception as error:  # a detector can fail on one image in any way
            line = " ".join(f"{type(error).__name__}: {error}".split())
            return reject(record, self._name, "detector_failed", line)

    def _selected(self, record: Record, raw: list[Any], from_journal: bool) -> Record:
        self._runtime.status.count_done(self._name, from_journal)
        return self._stage.answer_raw(record, raw)
