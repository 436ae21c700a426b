"""Lifts the detector into the pipeline: journal first, then a window of images on its thread."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from finehard.detect import Detection
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
        self._window = Window(4 * self._build.config.detect.batch_size)

    def process(self, record: Record | Reject) -> Iterator[Record | Reject]:
        if isinstance(record, Reject):
            yield record
            return
        phrases = self._stage.question(record)
        if not phrases:
            self._runtime.status.count_done(self._name)
            yield record
            return
        key = digest([record.sha256, phrases])
        kept = self._runtime.journal.get(self._folder, record.unit, key)
        if kept is not None:
            yield self._selected(record, kept.value, from_journal=True)
            return
        try:
            image = self._runtime.images.pixels(record)
        except ImageError as error:
            yield reject(record, self._name, error.reason, error.detail)
            return
        except (OSError, EOFError) as error:
            yield reject(record, self._name, "unreadable_image", str(error))
            return
        self._window.add((record, key), self._runtime.detections().submit(image, phrases))
        for (waiting, question), found in self._window.finished():
            yield self._answered(waiting, question, found)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for (waiting, question), found in self._window.drained():
            result = self._answered(waiting, question, found)
            yield WindowedValue(result, MIN_TIMESTAMP, (GlobalWindow(),))

    def _answered(
        self, record: Record, key: str, future: Future[list[Detection]]
    ) -> Record | Reject:
        try:
            raw = [[d.phrase, list(d.box), d.score] for d in future.result()]
        except FinehardError as error:
            self._runtime.status.fatal = str(error)
            raise
        except Exception as error:  # a detector can fail on one image in any way
            line = " ".join(f"{type(error).__name__}: {error}".split())
            return reject(record, self._name, "detector_failed", line)
        self._runtime.journal.put(self._folder, record.unit, key, Entry(raw, Usage()))
        return self._selected(record, raw, from_journal=False)

    def _selected(self, record: Record, raw: list[Any], from_journal: bool) -> Record:
        self._runtime.status.count_done(self._name, from_journal)
        return self._stage.answer_raw(record, raw)
