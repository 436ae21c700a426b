"""Lifts a stage that asks a model into the pipeline: journal first, then a window of requests."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from finehard.beam.runtime import Build, Runtime, runtime
from finehard.beam.window import Window
from finehard.config import Config
from finehard.digest import digest
from finehard.errors import FinehardError
from finehard.images import ImageError
from finehard.journal import Entry
from finehard.lmm.question import Answer, Question, RequestFailed
from finehard.records import Record, Reject, reject
from finehard.stage import Ask, Stage


def fingerprint(stage: Stage, config: Config) -> str:
    """Names everything that decides a stage's answers but the question itself."""
    images = config.images
    seen = [images.max_side, images.crop_side, images.crop_margin, images.jpeg_quality]
    return digest([stage.name, stage.identity(), config.models[stage.model].identity(), seen])


def question_key(ask: Ask, record: Record) -> str:
    """Names a question: its text, schema and length, and what is shown of which image."""
    return digest(
        [ask.text, ask.schema.digest, ask.max_tokens, ask.views, ask.views and record.sha256]
    )


class AskModel(beam.PTransform):
    """Records -> records with `stage`'s answer, or rejects. Rejects from before pass through."""

    def __init__(self, stage: Stage, build: Build) -> None:
        super().__init__()
        self._do = _AskModel(stage, build)

    def expand(self, pcoll: Any) -> Any:
        """One fused step; nothing is shuffled."""
        return pcoll | beam.ParDo(self._do)


class _AskModel(beam.DoFn):
    def __init__(self, stage: Stage, build: Build) -> None:
        self._stage = stage
        self._build = build
        self._folder = f"{stage.name}/{fingerprint(stage, build.config)}"

    def setup(self) -> None:
        self._runtime: Runtime = runtime(self._build)

    def start_bundle(self) -> None:
        served = self._build.config.models[self._stage.model]
        slots = served.window * max(1, len(served.endpoints))
        # twice the slots, so that one is filled the moment it is free
        self._window = Window(2 * slots)

    def process(self, record: Record | Reject) -> Iterator[Record | Reject]:
        if isinstance(record, Reject):
            yield record
            return
        ask = self._stage.question(record)
        if ask is None:
            self._runtime.status.through(self._stage.name)
            yield record
            return
        key = question_key(ask, record)
        kept = self._runtime.journal.get(self._folder, record.unit, key)
        if kept is not None:
            yield self._answered(record, kept, from_journal=True)
            return
        try:
            images = tuple(self._runtime.images.views(record, ask.views)) if ask.views else ()
        except ImageError as error:
            yield reject(record, self._stage.name, error.reason, error.detail)
            return
        except (OSError, EOFError) as error:
            yield reject(record, self._stage.name, "unreadable_image", str(error))
            return
        question = Question(
            self._stage.name,
            ask.text,
            ask.schema,
            ask.max_tokens,
            images,
            record.sha256,
            ask.choices,
        )
        asked = self._runtime.client(self._stage.model).submit(question)
        self._window.add(record, self._journaled(asked, record.unit, key))
        for item, future in self._window.finished():
            yield self._result(item, future)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for item, future in self._window.drained():
            result = self._result(item, future)
            yield WindowedValue(result, MIN_TIMESTAMP, (GlobalWindow(),))

    def _journaled(self, asked: Future[Answer], unit: str, key: str) -> Future[Entry]:
        """The answer once it is in the journal: kept the moment it comes, not when it is used."""
        kept: Future[Entry] = Future()

        def keep(done: Future[Answer]) -> None:
            try:
                answer = done.result()
                entry = Entry(answer.value, answer.usage)
                self._runtime.journal.put(self._folder, unit, key, entry)
                kept.set_result(entry)
            except BaseException as error:  # handed to whoever waits for the answer
                kept.set_exception(error)

        asked.add_done_callback(keep)
        return kept

    def _result(self, record: Record, future: Future[Entry]) -> Record | Reject:
        try:
            entry = future.result()
        except RequestFailed as failed:
            record = record.spent(self._stage.name, failed.usage)
            return reject(record, self._stage.name, failed.reason, failed.detail)
        except FinehardError as error:
            self._runtime.status.fatal = str(error)
            raise
        return self._answered(record, entry, from_journal=False)

    def _answered(self, record: Record, entry: Entry, from_journal: bool) -> Record | Reject:
        self._runtime.status.through(self._stage.name, from_journal)
        answered = self._stage.answer(record, entry.value)
        if isinstance(answered, Reject):
            return answered
        return answered.spent(self._stage.name, entry.usage)
