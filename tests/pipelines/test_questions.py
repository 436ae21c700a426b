"""A stage may ask several questions of a record: all are answered, or the record says why not."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from finehard.lmm.question import Answer
from finehard.records import Usage
from finehard.state.journal import Entry
from finehard.worker.replies import Replies
from tests.faults.world import built, faulty, settings
from tests.pipelines.world import images

_USAGE = Usage(1, 10, 2)


def _entry(value: int) -> Entry:
    return Entry(value, _USAGE)


def _keep(answer: Answer) -> Entry:
    return Entry(answer.value, answer.usage)


def _done(value: int) -> Future[Answer]:
    future: Future[Answer] = Future()
    future.set_result(Answer(value, _USAGE))
    return future


def test_replies_complete_with_the_last_in_question_order() -> None:
    replies = Replies([None, _entry(1), None])
    replies.callback(2, _keep)(_done(2))
    assert not replies.all.done()
    replies.callback(0, _keep)(_done(0))
    assert replies.all.result(0) == [_entry(0), _entry(1), _entry(2)]


@pytest.mark.parametrize("failing", ["the answer", "the journal"])
def test_one_that_fails_keeps_its_place_and_waits_for_the_others(failing: str) -> None:
    replies = Replies([None, None])
    broken = OSError("full")

    def cannot_keep(_: Answer) -> Entry:
        raise broken

    if failing == "the answer":
        failed: Future[Answer] = Future()
        failed.set_exception(broken)
        replies.callback(0, _keep)(failed)
    else:
        replies.callback(0, cannot_keep)(_done(0))
    assert not replies.all.done()
    replies.callback(1, _keep)(_done(1))
    assert replies.all.result(0) == [broken, _entry(1)]


def test_answers_of_a_rejected_record_are_not_asked_again(tmp_path: Path) -> None:
    source = images(tmp_path / "in", 30)
    with faulty(tmp_path / "log") as server:
        server.control(faults=0.05, kinds=["400", "schema"], sticky=True)
        made = built(settings(server.url), source, tmp_path / "out")
        assert 0 < made["counts"]["rejected"] < 30
        first = server.answered()
        server.log.write_text("")
        again = built(settings(server.url), source, tmp_path / "out")
        assert again["rejects"] == made["rejects"]
        assert not set(first) & set(server.answered())
        server.control(faults=0.0)
        server.log.write_text("")
        mended = built(settings(server.url), tmp_path / "out" / "rejected", tmp_path / "mended")
    assert mended["counts"]["written"] == made["counts"]["rejected"]
    rejected = pq.read_table(tmp_path / "out" / "rejected").to_pylist()
    assert "verify" in {row["stage"] for row in rejected}, "no fault met a record's second question"
