"""Faults of a single server, and their effects on a request and on concurrent ones."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from finehard.errors import FinehardError
from finehard.fleet.connections import MAX_BODY
from finehard.lmm.client import Client
from finehard.lmm.question import RequestFailed
from finehard.rejects import REASONS
from tests.lmm.conftest import question
from tests.lmm.faulty_server import (
    Fault,
    FaultyServer,
    completion,
    endless,
    half,
    hang,
    raw,
    reset,
    says,
    status,
)

Make = Callable[..., Client]
GOOD = json.dumps(completion()).encode()

TRANSIENT: dict[str, tuple[Fault, str]] = {
    "500": (status(500), "server_error"),
    "502": (status(502), "server_error"),
    "503": (status(503), "server_error"),
    "504": (status(504), "server_error"),
    "408": (status(408), "server_error"),
    "reset": (reset, "server_error"),
    "hang": (hang, "timeout"),
    "half a reply": (half, "server_error"),
    "endless reply": (endless, "server_error"),
    "huge reply": (raw(b"[" + b"1," * (MAX_BODY // 2) + b"1]"), "server_error"),
    "invalid UTF-8": (raw(GOOD.replace(b"true", b"\xff\xfe")), "server_error"),
    "broken JSON": (raw(GOOD[:-9]), "server_error"),
    "no bytes": (raw(b""), "server_error"),
    "a list": (raw(b"[]"), "server_error"),
    "NaN": (raw(b'{"choices": NaN}'), "server_error"),
    "deep nesting": (raw(b"[" * 100_000), "server_error"),
    "half a surrogate pair": (raw(GOOD.replace(b"true", b"\\ud800")), "server_error"),
    "gzip": (raw(gzip.compress(GOOD), Content_Encoding="gzip"), "server_error"),
    "gzip bomb": (raw(gzip.compress(b" " * (64 << 20)), Content_Encoding="gzip"), "server_error"),
    "another model": (says('{"ok": true}', model="other"), "wrong_model"),
    "model name of another type": (says('{"ok": true}', model=[7]), "wrong_model"),
    "error with status 200": (raw(b'{"error": {"message": "x"}}'), "server_error"),
    "no choices": (raw(b'{"model": "tiny"}'), "server_error"),
    "empty choices": (raw(b'{"choices": []}'), "server_error"),
    "choices of another type": (raw(b'{"choices": {"0": 1}}'), "server_error"),
    "choice of another type": (raw(b'{"choices": ["x"]}'), "server_error"),
    "401": (status(401), "request_refused"),
    "404": (status(404), "request_refused"),
}

INVALID: dict[str, tuple[Fault, str]] = {
    "empty": (says(""), "invalid_reply"),
    "blank": (says(" \n"), "invalid_reply"),
    "null": (says(None), "invalid_reply"),
    "a number": (says(7), "invalid_reply"),
    "parts": (says([{"type": "text", "text": "x"}]), "invalid_reply"),
    "message of another type": (raw(b'{"choices": [{"message": "x"}]}'), "invalid_reply"),
    "usage of another type": (says("no", usage=[1]), "invalid_reply"),
    "counts of another type": (says("no", usage={"prompt_tokens": "x"}), "invalid_reply"),
    "prose": (says("Here you are!"), "invalid_reply"),
    "wrong shape": (says('{"ok": "perhaps"}'), "invalid_reply"),
    "another key": (says('{"okay": true}'), "invalid_reply"),
    "cut": (says('{"ok": tr', "length"), "truncated_reply"),
    "cut before a word": (says(None, "length"), "truncated_reply"),
}


def questions(server: FaultyServer) -> list[Any]:
    """The requests that `server` got, but for controls."""
    return [asked for asked in server.asked if asked["max_tokens"] == 64]


def failure(client: Client, text: str = "well?") -> RequestFailed:
    with pytest.raises(RequestFailed) as caught:
        client.submit(question(text)).result(60)
    return caught.value


@pytest.mark.parametrize("name", TRANSIENT)
def test_transient_failures_are_retried(name: str, server: FaultyServer, client: Make) -> None:
    asking = client(server, timeout_s=0.5)
    server.play(TRANSIENT[name][0])
    answer = asking.submit(question()).result(30)
    assert answer.value == {"ok": True}
    assert answer.usage == (1, 10, 3)
    assert len(questions(server)) == 2
    assert asking.tally["caption"].retries == 1


@pytest.mark.parametrize("name", TRANSIENT)
def test_a_persistent_failure_rejects_only_its_request(
    name: str, server: FaultyServer, client: Make
) -> None:
    fault, reason = TRANSIENT[name]
    server.on_question["poison"] = fault
    server.delay_s = 0.02
    asking = client(server, timeout_s=0.5)
    futures = [asking.submit(question("poison" if i == 7 else f"{i}")) for i in range(30)]
    for i, future in enumerate(futures):
        if i != 7:
            assert future.result(30).value == {"ok": True}
    with pytest.raises(RequestFailed) as caught:
        futures[7].result(30)
    assert caught.value.reason == reason
    assert caught.value.reason in REASONS
    assert "\n" not in caught.value.detail and len(caught.value.detail) < 400
    assert sum("poison" in str(a) for a in server.asked) <= 8  # bounded


@pytest.mark.parametrize("name", ["500", "half a reply", "broken JSON"])
def test_a_lone_request_that_always_fails_is_rejected(
    name: str, server: FaultyServer, client: Make
) -> None:
    fault, reason = TRANSIENT[name]
    server.on_question["well?"] = fault
    assert failure(client(server)).reason == reason
    assert len(questions(server)) == 3


def test_lost_connections_use_up_no_attempts(server: FaultyServer, client: Make) -> None:
    server.play(reset, reset, reset)
    answer = client(server, attempts=1).submit(question()).result(30)
    assert answer.value == {"ok": True} and len(questions(server)) == 4


def test_a_request_whose_connections_all_break_is_given_up(
    server: FaultyServer, client: Make
) -> None:
    server.on_question["poison"] = reset
    asking = client(server, outage_s=10.0)
    others = [asking.submit(question(str(i))) for i in range(20)]
    assert failure(asking, "poison").reason == "server_error"
    assert len(questions(server)) < 20 + 8  # with longer and longer pauses
    assert all(future.result(30).value == {"ok": True} for future in others)


@pytest.mark.parametrize("code", [400, 401, 402, 403, 404, 413, 422])
def test_a_server_that_refuses_everything_ends_the_build(
    code: int, server: FaultyServer, client: Make
) -> None:
    asking = client(server)
    asking.submit(question("first")).result(30)
    server.always = status(code, b'{"error": "no more\\n today"}')
    futures = [asking.submit(question(str(i))) for i in range(20)]
    for future in futures:
        with pytest.raises(FinehardError, match=f"{code}.*refuses every request") as caught:
            future.result(30)
        assert "no more" in str(caught.value) and "\n" not in str(caught.value)
    assert len(server.asked) < 30  # each of them, and a few controls


def test_one_endpoint_that_refuses_everything_is_avoided(
    start: Callable[[], FaultyServer], client: Make
) -> None:
    good, bad = start(), start()
    bad.always = status(402)
    asking = client(good, bad)
    futures = [asking.submit(question(str(i), affinity=str(i))) for i in range(40)]
    assert [future.result(30).value for future in futures] == [{"ok": True}] * 40


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_reply_is_asked_again_with_the_reason(
    name: str, server: FaultyServer, client: Make
) -> None:
    server.play(INVALID[name][0])
    answer = client(server).submit(question()).result(30)
    assert answer.value == {"ok": True}
    assert answer.usage.requests == 2
    first, second = server.asked
    assert second["messages"][0] == first["messages"][0]
    assert [m["role"] for m in second["messages"]] == ["user", "assistant", "user"]
    assert "not usable" in second["messages"][2]["content"]


@pytest.mark.parametrize("name", INVALID)
def test_a_third_invalid_reply_rejects_the_request(
    name: str, server: FaultyServer, client: Make
) -> None:
    fault, reason = INVALID[name]
    server.always = fault
    failed = failure(client(server))
    assert failed.reason == reason
    assert failed.usage.requests == len(server.asked) == 3
    assert "\n" not in failed.detail and len(failed.detail) < 500


def test_retries_quote_the_schema_error_and_add_up_tokens(
    server: FaultyServer, client: Make
) -> None:
    spent = {"prompt_tokens": 100, "completion_tokens": 40}
    server.play(says('{"ok": 1}', usage=spent), status(500), says("{}", usage=spent))
    asking = client(server)
    answer = asking.submit(question()).result(30)
    assert answer.usage == (3, 210, 83)
    tally = asking.tally["caption"]
    assert (tally.requests, tally.retries, tally.invalid) == (4, 1, 2)
    assert (tally.prompt_tokens, tally.completion_tokens) == (210, 83)
    assert "reply.ok must be boolean" in server.asked[1]["messages"][2]["content"]
    assert "must contain ['ok']" in server.asked[3]["messages"][2]["content"]
    assert "answered 400" not in str(server.asked)


def test_a_refusal_reports_the_usage_of_invalid_replies(server: FaultyServer, client: Make) -> None:
    server.play(says("no"), status(400))
    failed = failure(client(server))
    assert failed.reason == "request_refused"
    assert failed.usage == (1, 10, 3)


def test_a_truncated_reply_is_asked_to_be_shorter(server: FaultyServer, client: Make) -> None:
    server.play(says('{"ok": tr', "length"))
    client(server).submit(question()).result(30)
    assert "cut at 64 tokens; be shorter" in server.asked[1]["messages"][2]["content"]


@pytest.mark.parametrize("code", [400, 413, 422])
def test_a_refused_request_is_not_retried(code: int, server: FaultyServer, client: Make) -> None:
    server.play(status(code, b"too long\n\n  by 12 tokens"))
    failed = failure(client(server))
    assert failed.reason == "request_refused"
    assert f"answered {code}: too long by 12 tokens" in failed.detail
    assert len(questions(server)) == 1


@pytest.mark.parametrize("named", ["tiny", "tiny@main", None, ""])
def test_the_served_name_may_carry_a_revision(
    named: str | None, server: FaultyServer, client: Make
) -> None:
    server.play(says('{"ok": false}', model=named))
    assert client(server).submit(question()).result(30).value == {"ok": False}
    assert len(server.asked) == 1


def test_retry_after_is_respected(server: FaultyServer, client: Make) -> None:
    server.play(status(429, Retry_After="1.5"))
    client(server).submit(question()).result(30)
    assert server.times[1] - server.times[0] >= 1.5


def test_a_late_success_does_not_shorten_retry_after(server: FaultyServer, client: Make) -> None:
    asking = client(server, window=8)

    async def late(request: Any) -> Any:
        import asyncio

        await asyncio.sleep(0.4)
        return await says('{"ok": true}')(request)

    server.play(late, *[status(429, Retry_After="1.5")] * 7)
    futures = [asking.submit(question(str(i))) for i in range(12)]
    for future in futures:
        future.result(30)
    assert server.times[8] - server.times[7] >= 1.5


def test_a_few_refusals_do_not_pause_other_requests(server: FaultyServer, client: Make) -> None:
    ok = says('{"ok": true}')
    server.play(ok, ok, status(429, Retry_After="2"), ok, ok, status(429, Retry_After="2"))
    asking = client(server, window=2)
    futures = [asking.submit(question(str(i))) for i in range(20)]
    for future in futures:
        future.result(30)
    assert len(server.asked) == 22
    assert server.times[19] - server.times[0] < 1.5  # all requests that were not refused
    assert server.times[20] - server.times[2] >= 2  # refused requests waited for Retry-After


@pytest.mark.parametrize("wait", ["", "soon", "Wed, 21 Oct 2026 07:28:00 GMT", "-1", "²", "1e9"])
def test_an_invalid_retry_after_is_a_short_pause(
    wait: str, server: FaultyServer, client: Make
) -> None:
    fault = status(429, Retry_After=wait) if wait else status(429)
    server.play(fault)
    assert client(server).submit(question()).result(30).value == {"ok": True}
    assert len(server.asked) == 2


def test_a_low_rate_limit_fails_no_request(server: FaultyServer, client: Make) -> None:
    granted: list[float] = []

    async def limited(request: Any) -> Any:
        now = time.monotonic()
        if sum(now - t < 1.0 for t in granted) >= 10:
            return await status(429)(request)
        granted.append(now)
        return await says('{"ok": true}')(request)

    server.always = limited
    asking = client(server, window=32, attempts=2)
    for future in [asking.submit(question(str(i))) for i in range(60)]:
        assert future.result(60).value == {"ok": True}


def test_redirects_are_not_followed(
    start: Callable[[], FaultyServer], server: FaultyServer, client: Make
) -> None:
    elsewhere = start()
    to = f"{elsewhere.url}/chat/completions"
    server.always = status(307, Location=to)
    server.list_fault = status(302, Location=f"{elsewhere.url}/models")
    asking = client(server, outage_s=1.0)
    with pytest.raises(FinehardError, match="models answered 302"):
        asking.check()
    with pytest.raises(FinehardError, match="answered 307"):
        asking.submit(question()).result(30)
    assert elsewhere.asked == []


def test_compressed_replies_are_not_requested(server: FaultyServer, client: Make) -> None:
    client(server).submit(question()).result(30)
    assert server.headers[0]["Accept-Encoding"] == "identity"


def test_the_api_key_is_sent_and_never_shown(
    server: FaultyServer, client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_KEY", "sk-very-secret\n")  # as `export KEY="$(cat file)"` may leave it
    asking = client(server, api_key_env="TINY_KEY", outage_s=3.0)
    asking.submit(question()).result(30)
    assert server.headers[0]["Authorization"] == "Bearer sk-very-secret"
    errors = []
    echo = b'{"error": "bad key sk-very-secret of Bearer sk-very-secret"}'
    server.play(status(400, echo))
    errors.append(str(failure(asking)))
    server.on_question["odd"] = says("x", model="sk-very-secret")
    errors.append(str(failure(asking, "odd")))
    server.always = server.list_fault = status(401, echo)
    for call in (asking.check, lambda: asking.submit(question()).result(30)):
        with pytest.raises(FinehardError) as caught:
            call()
        errors.append(str(caught.value))
    assert len(errors) == 4
    for line in errors[2:]:
        assert "is the API key in TINY_KEY (api_key_env) right, and" in line
        assert "running" not in line
    for line in errors:
        assert "secret" not in line
        assert "\n" not in line


def test_401_without_a_key_names_the_setting(server: FaultyServer, client: Make) -> None:
    server.list_fault = server.always = status(401)
    with pytest.raises(FinehardError, match="does model 'tiny' need api_key_env"):
        client(server).check()


def test_an_unset_api_key_is_an_error_before_any_request(
    server: FaultyServer, client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TINY_KEY", raising=False)
    with pytest.raises(FinehardError, match="TINY_KEY is not set"):
        client(server, api_key_env="TINY_KEY")


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (status(500), "answered 500"),
        (raw(b"hello"), "returned no model list"),
        (raw(b"[]"), "returned no model list"),
        (raw(b'{"data": null}'), "returned no model list"),
        (raw(b'{"data": 7}'), "returned no model list"),
        (raw(b'{"data": ["x"]}'), "returned no model list"),
        (raw(b'{"data": [{"id": "other"}]}'), "serves 'other', not 'tiny'"),
        (endless, "returned no model list"),
        (half, "no model server at"),
        (reset, "no model server at"),
    ],
)
def test_the_check_reports_a_wrong_server(
    fault: Fault, problem: str, server: FaultyServer, client: Make
) -> None:
    server.list_fault = fault
    server.always = says("yes", model="other")
    with pytest.raises(FinehardError, match=problem) as caught:
        client(server).check()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fault", [status(500), status(404), raw(b'{"data": [{"id": "other"}]}')])
def test_a_server_that_answers_needs_no_model_list(
    fault: Fault, server: FaultyServer, client: Make
) -> None:
    server.list_fault = fault
    client(server).check()


def test_a_good_server_passes_the_check(server: FaultyServer, client: Make) -> None:
    client(server).check()
