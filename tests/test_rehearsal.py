"""What servers are asked before a build, and what follows from it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finehard.config import Config, parse_config
from finehard.detect import DetectConfig
from finehard.errors import FinehardError
from finehard.lmm.dialect import Dialect
from finehard.negatives import NegativesConfig
from finehard.planning import plan
from finehard.records import Record
from finehard.rehearsal import measure_speeds, rehearse
from finehard.stages.caption import Caption
from finehard.stages.regions import Regions
from finehard.stages.stage import Limits, Stage
from finehard.stages.verify import Verify
from finehard.state import rehearsed
from tests.lmm.faulty_server import MODEL, Fault, FaultyServer, raw, says, status
from tests.sources.tars import samples, tar_bytes


def config(*servers: FaultyServer, **model: Any) -> Config:
    """Returns a config whose model is served by `servers`."""
    urls = [server.url for server in servers]
    values = {"model": MODEL, "endpoints": urls, "attempts": 2, "timeout_s": 5, **model}
    return parse_config({"models": {"lmm": values, "llm": values}}, "test")


def stages(config: Config) -> list[Stage]:
    """Returns the stages that show the model an image."""
    return [
        stage.make(getattr(config, stage.name))  # type: ignore[attr-defined]
        for stage in (Caption, Regions, Verify)
    ]


def good(asked: dict[str, Any]) -> str:
    """Returns a reply that fits the schema of a request."""
    form = asked.get("response_format")
    schema = form["json_schema"]["schema"] if form else None
    text = json.dumps(asked["messages"])
    keys = schema["required"] if schema else ["1", "2"] if "cut-outs" in text else []
    if keys == ["short_caption", "long_caption"] or not keys:
        return json.dumps({"short_caption": "Mugs on a table.", "long_caption": "Red mugs stand."})
    verify = bool(schema) and "enum" in json.dumps(schema)
    return json.dumps({key: "yes" if verify else "a red mug on a table" for key in keys})


def answering(refuse: Any = None) -> Fault:
    """Returns a server's behaviour: `refuse(request)` gives words to refuse it with, or None."""

    async def respond(request: Any) -> Any:
        asked = await request.json()
        words = refuse(asked) if refuse else None
        return await (status(400, words.encode()) if words else says(good(asked)))(request)

    return respond


def images(asked: dict[str, Any]) -> int:
    """Returns the number of images in a request."""
    content = asked["messages"][0]["content"]
    return sum(part["type"] == "image_url" for part in content) if type(content) is list else 0


def test_a_server_that_takes_all_is_asked_once_a_stage() -> None:
    with FaultyServer() as server:
        server.always = answering()
        settings = config(server)
        found = rehearse(settings, stages(settings))
    assert found.dialects == {"lmm": Dialect()}
    assert set(found.limits.values()) == {Limits()}
    assert found.lines() == []
    assert [images(asked) for asked in server.asked] == [1, settings.detect.max_boxes, 1]


def test_a_server_of_one_image_gets_regions_one_by_one() -> None:
    def refuse(asked: dict[str, Any]) -> str | None:
        return "At most 1 image(s) may be provided in one prompt." if images(asked) > 1 else None

    with FaultyServer() as server:
        server.always = answering(refuse)
        settings = config(server)
        found = rehearse(settings, stages(settings))
    assert found.limits["regions"] == Limits(1)
    assert found.lines() == ["stage regions: 1 region a request"]


def test_a_short_context_splits_the_largest_requests() -> None:
    def refuse(asked: dict[str, Any]) -> str | None:
        prompt, limit = 100 + 256 * images(asked), 2048
        if prompt + asked["max_tokens"] <= limit:
            return None
        return (
            f"This model's maximum context length is {limit} tokens. However, you requested "
            f"{prompt + asked['max_tokens']} tokens ({prompt} in the messages)"
        )

    with FaultyServer() as server:
        server.always = answering(refuse)
        settings = config(server)
        found = rehearse(settings, stages(settings))
    assert found.limits == {"caption": Limits(), "regions": Limits(5), "verify": Limits()}


def test_what_is_refused_without_a_word_is_found_by_guessing() -> None:
    def refuse(asked: dict[str, Any]) -> str | None:
        return "Bad Request" if "logprobs" in asked else None

    with FaultyServer() as server:
        server.always = answering(refuse)
        settings = config(server)
        found = rehearse(settings, stages(settings))
    assert found.lines() == ["model lmm: no log-probabilities"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (says("I see mugs."), "cannot do stage caption: invalid_reply.*models.lmm.response_format"),
        (says('{"short', "length"), "truncated_reply.*raise caption.max_tokens"),
        (status(400, b"no vision here"), "no vision here"),
        (status(402, b"Insufficient credits"), "cannot be asked: .*Insufficient credits.*credit"),
        (says("{}", model="other"), "add the name to answers_as"),
    ],
)
def test_what_a_server_cannot_do_is_one_line(fault: Fault, words: str) -> None:
    with FaultyServer() as server:
        server.always = fault
        settings = config(server)
        with pytest.raises(FinehardError, match=words) as caught:
            rehearse(settings, stages(settings))
    assert "\n" not in str(caught.value)


REFUSAL = {"message": {"role": "assistant", "content": None, "refusal": "I can't help with that."}}


@pytest.mark.parametrize("fault", [status(500), raw(json.dumps({"choices": [REFUSAL]}).encode())])
def test_a_fault_that_proves_nothing_is_only_a_warning(
    fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    with FaultyServer() as server:
        server.always = says("yes")
        server.on_question["image_url"] = fault
        settings = config(server)
        rehearse(settings, stages(settings)[:1])
    assert "cannot do stage caption" in caplog.text and "this was a sample" in caplog.text


def test_servers_with_the_same_doubt_tell_it_once(caplog: pytest.LogCaptureFixture) -> None:
    refusing = raw(json.dumps({"choices": [REFUSAL]}).encode())
    with FaultyServer() as one, FaultyServer() as other:
        for server in (one, other):
            server.always = says("yes")
            server.on_question["image_url"] = refusing
        settings = config(one, other)
        rehearse(settings, stages(settings)[:1])
    assert len([line for line in caplog.messages if "was a sample" in line]) == 1


def test_what_was_found_is_not_asked_again(tmp_path: Path) -> None:
    with FaultyServer() as server:
        server.always = answering()
        settings = config(server)
        all_stages = stages(settings)
        output = str(tmp_path)
        rehearsed.save(output, settings, all_stages, rehearse(settings, all_stages))
        assert set(rehearsed.load(output, settings, all_stages).limits) == {
            "caption", "regions", "verify",
        }  # fmt: skip
        moved = replace(settings.models["lmm"], endpoints=("http://elsewhere/v1",))
        other = replace(settings, models={**settings.models, "lmm": moved})
        assert rehearsed.load(output, other, all_stages).limits == {}
        rehearsed.forget(output)
        assert rehearsed.load(output, settings, all_stages).limits == {}


def test_the_speed_of_a_server_is_measured() -> None:
    with FaultyServer() as server:
        server.always = answering()
        settings = config(server)
        speeds = measure_speeds(settings, stages(settings), {"lmm": Dialect()})
    assert speeds["lmm"] > 0
    assert len(server.asked) == 3 * 16


def test_a_stage_that_needs_another_ones_data_is_passed_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Needy(Caption):
        def questions(self, record: Record) -> Any:
            return [record.extra["before"]]

    caplog.set_level("INFO")
    with FaultyServer() as server:
        settings = config(server)
        rehearse(settings, [Needy(settings.caption)])
    assert server.asked == []
    assert "stage caption cannot be tried out: KeyError: 'before'" in caplog.text


def test_a_plan_that_asks_fills_in_the_speeds(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "a.tar").write_bytes(tar_bytes(samples(4)))
    with FaultyServer() as server:
        server.always = answering(lambda asked: "no logprobs here" if "logprobs" in asked else None)
        settings = replace(
            config(server),
            detect=DetectConfig(backend="bench.fixed_detector:load"),
            negatives=NegativesConfig(backend="lexicon"),
        )
        made = plan(settings, str(source), ask=True)
    assert made.found[0] == "model lmm: no log-probabilities"
    assert "completion tokens/s of one endpoint" in made.found[1]
    assert made.gpu_hours > 0
    assert plan(settings, str(source)).gpu_hours == 0
