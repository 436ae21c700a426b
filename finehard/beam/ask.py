"""Lifts a stage that asks a model into the pipeline: the journal, then a window of requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from finehard.digest import digest
from finehard.images import ImageError
from finehard.lmm.question import Answer, Question, RequestFailed
from finehard.records import Record, Reject, Usage, reject
from finehard.rejects import REASONS
from finehard.stages.stage import Ask
from finehard.state.journal import Entry
from finehard.worker.call import call, call_for_result
from finehard.worker.replies import Replies, Reply
from finehard.worker.runtime import Build, Runtime, runtime
from finehard.worker.window import Window


def question_key(ask: Ask, record: Record) -> str:
    """Returns a question's key in the journal: text, schema, length, and views of which image."""
    return digest(
        [ask.text, ask.schema.digest, ask.max_tokens, ask.views, ask.views and record.sha256]
    )


class AskModel(beam.DoFn):
    """Records -> records with the answers of stage `name`, or rejects. Rejects pass through."""

    def __init__(self, name: str, fingerprint: str, build: Build) -> None:
        self._name = name
        self._build = build
        self._folder = f"{name}/{fingerprint}"

    def setup(self) -> None:
        """Gets this process's share of the build."""
        self._runtime: Runtime = runtime(self._build)
        self._stage = self._runtime.stages[self._name]
        self._model = str(self._stage.model)

    def start_bundle(self) -> None:
        """Opens a window of requests."""
        self._window = Window(2 * self._build.config.models[self._model].window)

    def process(self, record: Record | Reject) -> Iterator[Record | Reject]:
        """Asks about `record`, and yields whatever has been answered by now."""
        if isinstance(record, Reject):
            yield record
            return
        with self._runtime.ending_the_build():
            asks = call(self._stage, self._stage.questions, record)
        if not asks:
            self._runtime.status.count_done(self._name)
            yield record
            return
        keys = [question_key(ask, record) for ask in asks]
        journaled = [self._runtime.journal.get(self._folder, record.unit, key) for key in keys]
        if None not in journaled:
            yield self._answered(record, journaled, from_journal=True)
            return
        try:
            questions = [
                None if entry else self._question(record, ask)
                for ask, entry in zip(asks, journaled, strict=True)
            ]
        except ImageError as error:
            yield reject(record, self._name, error.reason, error.detail)
            return
        except (OSError, EOFError) as error:
            yield reject(record, self._name, "unreadable_image", str(error))
            return
        with self._runtime.ending_the_build():
            client = self._runtime.client(self._model)
        # twice as many as there are slots, so that one is filled the moment it is free
        self._window.size = 2 * client.window
        replies = Replies(journaled)
        for index, (key, question) in enumerate(zip(keys, questions, strict=True)):
            if question is not None:
                save = self._saver(record.unit, key)
                client.submit(question).add_done_callback(replies.callback(index, save))
        self._window.add(record, replies.all)
        for item, future in self._window.finished():
            yield self._result(item, future)

    def _question(self, record: Record, ask: Ask) -> Question:
        images = tuple(self._runtime.images.views(record, ask.views)) if ask.views else ()
        return Question(
            self._name,
            ask.text,
            ask.schema,
            min(ask.max_tokens, self._stage.limits.tokens or ask.max_tokens),
            images,
            record.sha256,
            ask.choices,
            ask.judge,
        )

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Yields the rest as it is answered."""
        for item, future in self._window.drained():
            result = self._result(item, future)
            yield WindowedValue(result, MIN_TIMESTAMP, (GlobalWindow(),))

    def _saver(self, unit: str, key: str) -> Callable[[Answer], Entry]:
        """Returns a function that journals an answer the moment it arrives."""

        def save(answer: Answer) -> Entry:
            entry = Entry(answer.value, answer.usage)
            self._runtime.journal.put(self._folder, unit, key, entry)
            return entry

        return save

    def _result(self, record: Record, future: Future[list[Reply]]) -> Record | Reject:
        entries: list[Entry] = []
        failed: RequestFailed | None = None
        for reply in future.result():
            if isinstance(reply, Entry):
                entries.append(reply)
            elif isinstance(reply, RequestFailed):
                failed = reply
                entries.append(Entry(None, reply.usage))
            elif reply is not None:
                with self._runtime.ending_the_build():
                    raise reply
        if failed is not None:
            with self._runtime.ending_the_build():
                self._runtime.reject_share.count(self._name, failed.reason, failed.detail)
            record = record.spent(self._name, _spent(entries))
            rejected = reject(record, self._name, failed.reason, failed.detail)
            with self._runtime.ending_the_build():
                return self._without_answer(record, rejected)
        return self._answered(record, entries, from_journal=False)

    def _answered(
        self, record: Record, entries: Sequence[Any], from_journal: bool
    ) -> Record | Reject:
        self._runtime.status.count_done(self._name, from_journal)
        values = [entry.value for entry in entries]
        with self._runtime.ending_the_build():
            answered = call_for_result(self._stage, self._stage.answer, record, values)
            if isinstance(answered, Reject) and answered.reason in REASONS:
                self._runtime.reject_share.count(self._name, answered.reason, answered.detail)
            else:  # a stage's own reasons are its purpose
                self._runtime.reject_share.count(self._name)
            if isinstance(answered, Reject):
                answered = self._without_answer(record, answered)
        return answered.spent(self._name, _spent(entries))

    def _without_answer(self, record: Record, rejected: Reject) -> Record | Reject:
        return call_for_result(self._stage, self._stage.without_answer, record, rejected)


def _spent(entries: Sequence[Entry]) -> Usage:
    return Usage(*map(sum, zip(*(entry.usage for entry in entries), strict=True)))
