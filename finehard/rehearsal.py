"""One real request of each stage to each endpoint, judged as in the build, before the build."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial, reduce
from typing import NamedTuple

from finehard.config import Config
from finehard.errors import FinehardError, typed_error_line
from finehard.lmm.client import Client
from finehard.lmm.config import ModelConfig
from finehard.lmm.dialect import Dialect, images_allowed, merged
from finehard.lmm.question import Answer, Question, RequestFailed
from finehard.lmm.reply import NOT_JSON
from finehard.lmm.sender import ServerGone
from finehard.records import Record
from finehard.stages.sample import sample_record
from finehard.stages.stage import Ask, Limits, Stage
from finehard.worker.images import Images

_log = logging.getLogger(__name__)

_OUTAGE_S = 60.0
"""The longest that a server may fail here before the build does not start."""

_SETTING = {
    "truncated_reply": "raise {stage}.max_tokens",
    "invalid_reply": "does model {model!r} follow instructions? Its server may ignore "
    "response_format: set models.{model}.response_format, or take another model",
    "request_refused": "see the model's settings under models.{model}",
    "wrong_model": "set models.{model}.answers_as",
    "server_error": "look at the server's log",
    "timeout": "raise models.{model}.timeout_s",
}
"""What to change, by the reason for which a request failed."""


_NO_PROOF = ("server_error", "timeout")
"""Reasons that prove nothing where nothing cures them: servers recover."""

_TOO_MUCH = ("request_refused", "truncated_reply", *_NO_PROOF)
"""Reasons that a request with fewer regions may cure."""

_ATTEMPTS = 2
"""Attempts of a request whose server fails."""

_AT_ONCE = 16


class Rehearsal(NamedTuple):
    """What the servers take. `dialects` are by the models' names, `limits` by stage."""

    dialects: dict[str, Dialect]
    limits: dict[str, Limits]

    def lines(self) -> list[str]:
        """Returns what is not as usual, a line each."""
        lines = [
            f"model {name}: {', '.join(dialect.describe())}"
            for name, dialect in self.dialects.items()
            if dialect.describe()
        ]
        return (
            lines
            + [
                f"stage {name}: {limits.regions} region{'s' * (limits.regions > 1)} a request"
                for name, limits in self.limits.items()
                if limits.regions is not None
            ]
            + [
                f"stage {name}: replies of at most {limits.tokens} tokens, which the context leaves"
                for name, limits in self.limits.items()
                if limits.tokens is not None
            ]
        )


def rehearse(
    config: Config, stages: Sequence[Stage], known: Mapping[str, Dialect] | None = None
) -> Rehearsal:
    """Asks every endpoint of `config` one question of each of `stages`, and sets the stages' limits
    to what all endpoints take. Models without endpoints are left out. `known` are dialects, by the
    models' names, to begin with.

    Raises `FinehardError` with the setting to change where an answer cannot be used. An endpoint
    that does not respond is passed over, unless a model has no other, also one that is not asked.
    """
    dialects: dict[str, Dialect] = {}
    doubts: dict[str, None] = {}
    for name, model in config.models.items():
        asking = [stage for stage in stages if stage.model == name]
        urls = responding(model) if model.endpoints else []
        if not urls or not asking:
            for stage in asking:
                stage.limits = Limits(model.regions_per_request)
            continue
        first, *others = urls
        results = [_try_endpoint(config, name, asking, first, (known or {}).get(name))]
        following = partial(_try_endpoint, config, name, asking, dialect=results[0].dialect)
        with ThreadPoolExecutor(16) as pool:
            results += pool.map(following, others)
        dialects[name] = reduce(merged, (result.dialect for result in results))
        for stage in asking:
            stage.limits = _smallest([result.limits[stage.name] for result in results])
        doubts |= dict.fromkeys(doubt for result in results for doubt in result.doubts)
    for doubt in doubts:  # servers of one model say the same
        _log.warning("%s", doubt)
    return Rehearsal(dialects, {stage.name: stage.limits for stage in stages})


def _smallest(limits: Sequence[Limits]) -> Limits:
    """Returns what servers of all `limits` take."""
    smallest = [
        min((n for n in of if n is not None), default=None) for of in zip(*limits, strict=True)
    ]
    return Limits(*smallest)


def measure_speeds(
    config: Config, stages: Sequence[Stage], dialects: Mapping[str, Dialect]
) -> dict[str, float]:
    """Returns the completion tokens per second of one endpoint of each model, by the models' names:
    with as many requests at once as its window has, up to 16, of all its stages together."""
    speeds = {}
    for name, dialect in dialects.items():
        model = config.models[name]
        client = Client(replace(model, endpoints=(responding(model)[0],)), dialect=dialect)
        samples = [
            sample_record(config.images, config.detect.max_boxes, seed)
            for seed in range(min(_AT_ONCE, model.window))
        ]
        started = time.monotonic()
        try:
            asked = [
                client.submit(_question(config, stage, ask, record, picture))
                for stage in stages
                if stage.model == name
                for record, picture in samples
                for ask in _asks(stage, record)[:1]
            ]
            tokens = sum(_completion_tokens(future) for future in asked)
        finally:
            client.close()
        if tokens:
            speeds[name] = tokens / (time.monotonic() - started)
    return speeds


def _completion_tokens(future: Future[Answer]) -> int:
    try:
        return future.result().usage.completion_tokens
    except RequestFailed as failed:
        return failed.usage.completion_tokens


def responding(model: ModelConfig) -> list[str]:
    """Returns the endpoints that respond. Raises `FinehardError` where none does."""
    client = Client(model)
    try:
        problems = client.problems()
    finally:
        client.close()
    urls = [url for url, problem in problems.items() if problem is None]
    if not urls:
        raise FinehardError(next(filter(None, problems.values())))
    return urls


class _Endpoint(NamedTuple):
    """What one endpoint takes, and what is doubtful about it, a line each."""

    dialect: Dialect
    limits: dict[str, Limits]
    doubts: list[str]


def _try_endpoint(
    config: Config, name: str, stages: Sequence[Stage], url: str, dialect: Dialect | None
) -> _Endpoint:
    """Asks one endpoint a question of each of `stages`."""
    model = config.models[name]
    limited = replace(
        model, endpoints=(url,), attempts=min(model.attempts, _ATTEMPTS),
        outage_s=min(model.outage_s, _OUTAGE_S),
    )  # fmt: skip
    client = Client(limited, dialect=dialect)
    own = [copy.copy(stage) for stage in stages]  # endpoints are tried at the same time
    doubts: list[str] = []
    try:
        for stage in own:
            stage.limits = _try_stage(config, name, stage, client, doubts)
        return _Endpoint(client.dialect, {stage.name: stage.limits for stage in own}, doubts)
    except ServerGone as gone:
        raise FinehardError(f"model {name} cannot be asked: {gone.cause}") from gone
    finally:
        client.close()


def _try_stage(
    config: Config, name: str, stage: Stage, client: Client, doubts: list[str]
) -> Limits:
    """Asks the largest question of `stage`, with fewer regions until the answer can be used.

    Returns the limits that this takes. Adds to `doubts` what keeps no build from starting.
    """
    most = config.detect.max_boxes
    regions = allowed = min(most, config.models[name].regions_per_request or most)
    seed, guessed = 0, False
    while True:
        stage.limits = Limits(regions if regions < most else None)
        record, picture = sample_record(config.images, most, seed)
        asks = _asks(stage, record)
        if not asks:
            return stage.limits
        ask = max(asks, key=lambda ask: (len(ask.views), ask.max_tokens, len(ask.text)))
        question = _question(config, stage, ask, record, picture)
        client.cut.pop(stage.name, None)
        try:
            client.submit(question).result()
        except RequestFailed as failed:
            problem = _problem(name, stage, failed)
            fewer = min(regions - 1, images_allowed(failed.detail) or regions // 2)
            if failed.reason in _TOO_MUCH and _splits(stage, record, fewer):
                regions = fewer
            elif failed.reason in ("request_refused", *_NO_PROOF) and not guessed:
                guessed = True
                if not client.try_dialects(question) and failed.reason not in _NO_PROOF:
                    raise FinehardError(problem) from None
            elif failed.reason in _NO_PROOF or failed.reason == "refused_by_model":
                doubts.append(
                    f"{problem}; this was a sample: the build goes on, and ends if it meets the "
                    "images too"
                )
                return Limits(allowed if allowed < most else None)
            elif failed.reason in ("invalid_reply", "truncated_reply") and not seed:
                seed = 1  # one bad reply proves nothing
            elif failed.reason == "invalid_reply" and not failed.detail.startswith(NOT_JSON):
                doubts.append(f"the model may be too weak for it: {problem}")
                return stage.limits
            else:
                raise FinehardError(problem) from None
            continue
        tokens = client.cut.get(stage.name)
        if tokens is None or tokens * 2 >= ask.max_tokens or regions == 1:
            return stage.limits._replace(tokens=tokens)
        if not _splits(stage, record, regions // 2):
            return stage.limits._replace(tokens=tokens)
        regions //= 2


def _asks(stage: Stage, record: Record) -> Sequence[Ask]:
    """Returns the questions of `stage` about a sample; none where the stage needs more than that,
    such as what another stage of the user's adds to a record."""
    try:
        return stage.questions(record)
    except Exception as error:
        _log.info("stage %s cannot be tried out: %s", stage.name, typed_error_line(error))
        return ()


def _question(config: Config, stage: Stage, ask: Ask, record: Record, picture: bytes) -> Question:
    views: tuple[bytes, ...] = ()
    if ask.views:
        views = tuple(Images(config.images, lambda _: picture).views(record, ask.views))
    return Question(
        stage.name, ask.text, ask.schema, ask.max_tokens, views, record.key, ask.choices, ask.judge
    )


def _splits(stage: Stage, record: Record, regions: int) -> bool:
    """Returns whether `stage` asks differently where only `regions` may be in a request."""
    if regions < 1:
        return False
    before, asks = stage.limits, stage.questions(record)
    stage.limits = Limits(regions)
    smaller = stage.questions(record)
    stage.limits = before
    return [ask.views for ask in smaller] != [ask.views for ask in asks] or [
        ask.text for ask in smaller
    ] != [ask.text for ask in asks]


def _problem(name: str, stage: Stage, failed: RequestFailed) -> str:
    hint = _SETTING.get(failed.reason, "").format(stage=stage.section or stage.name, model=name)
    return f"model {name} cannot do stage {stage.name}: {failed.reason}: {failed.detail}" + (
        f"; {hint}" if hint else ""
    )
