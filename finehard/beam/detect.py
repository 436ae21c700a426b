"""Lifts the detector into the pipeline: journal first, then a window of images on its thread."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from finehard.config import Config
from finehard.detect import Detection, detector_identity
from finehard.detect.boxes import select
from finehard.digest import digest
from finehard.errors import FinehardError
from finehard.images import ImageError
from finehard.records import Record, Region, Reject, Usage, reject
from finehard.state.journal import Entry
from finehard.worker.runtime import Build, runtime
from finehard.worker.window import Window

STAGE = "detect"
VERSION = 1


class Detect(beam.PTransform):
    """Records with phrases -> records with regions. Raw boxes go to the journal, so that
    thresholds can change without asking the detector again."""

    def __init__(self, build: Build) -> None:
        super().__init__()
        self._do = _Detect(build)

    def expand(self, pcoll: Any) -> Any:
        """One fused step; nothing is shuffled."""
        return pcoll | beam.ParDo(self._do)


def detect_fingerprint(config: Config) -> str:
    """Names everything that decides the raw boxes but image and phrases."""
    return digest([STAGE, VERSION, detector_identity(config.detect), config.images.max_side])


class _Detect(beam.DoFn):
    def __init__(self, build: Build) -> None:
        self._build = build
        self._folder = f"{STAGE}/{detect_fingerprint(build.config)}"

    def setup(self) -> None:
        self._runtime = runtime(self._build)

    def start_bundle(self) -> None:
        self._window = Window(4 * self._build.config.detect.batch_size)

    def process(self, record: Record | Reject) -> Iterator[Record | Reject]:
        if isinstance(record, Reject):
            yield record
            return
        phrases = [phrase.text for phrase in record.phrases]
        if not phrases:
            self._runtime.status.through(STAGE)
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
            yield reject(record, STAGE, error.reason, error.detail)
            return
        except (OSError, EOFError) as error:
            yield reject(record, STAGE, "unreadable_image", str(error))
            return
        self._window.add((record, key), self._runtime.detections().submit(image, phrases))
        for (waiting, question), found in self._window.finished():
            yield self._found(waiting, question, found)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for (waiting, question), found in self._window.drained():
            result = self._found(waiting, question, found)
            yield WindowedValue(result, MIN_TIMESTAMP, (GlobalWindow(),))

    def _found(self, record: Record, key: str, future: Future[list[Detection]]) -> Record:
        try:
            raw = [[d.phrase, list(d.box), d.score] for d in future.result()]
        except FinehardError as error:
            self._runtime.status.fatal = str(error)
            raise
        self._runtime.journal.put(self._folder, record.unit, key, Entry(raw, Usage()))
        return self._selected(record, raw, from_journal=False)

    def _selected(self, record: Record, raw: list[Any], from_journal: bool) -> Record:
        self._runtime.status.through(STAGE, from_journal)
        found = [Detection(phrase, tuple(box), score) for phrase, box, score in raw]
        config = self._build.config.detect
        kept, dropped = select(found, config, record.width, record.height)
        regions = tuple(_region(record, detection) for detection in kept)
        left_out = {
            rule: [f"{record.phrases[box.phrase].text}, score {box.score:.2f}" for box in boxes]
            for rule, boxes in dropped.items()
        }
        return replace(record, regions=regions).dropping(STAGE, left_out)


def _region(record: Record, detection: Detection) -> Region:
    phrase = record.phrases[detection.phrase]
    return Region(detection.box, detection.score, phrase.text, phrase.text, phrase.long)
