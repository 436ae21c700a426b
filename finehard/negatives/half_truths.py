"""The half truth stage: captions and long expressions made false, and asked about.

What is false is made by rule, after all other stages: a detail of another image is added to a text,
or a relation in it is turned round. Whether it is false is then asked of a model, which sees the
whole image: not about the long text, in which a small model overlooks one wrong detail, but about
what was changed, said alone. The result is `extra.half_truths` of the sample (docs).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from finehard.errors import UsageError
from finehard.negatives.details import Details, kinds_of
from finehard.negatives.falsehood import Falsehood, additions
from finehard.negatives.turned import turned
from finehard.records import WHOLE, Record
from finehard.schemas import reply_schema
from finehard.settings.ranges import Positive, Share
from finehard.stages.prompts import Prompt, fence, load_prompt
from finehard.stages.stage import Ask, AverageImage, Estimate, Stage, numbered, prompt_tokens

Source = Literal["short_caption", "long_caption", "long_expr"]


@dataclass(frozen=True)
class HalfTruthsConfig:
    """Settings of the half truth stage. `model` is a name under `models`."""

    texts: tuple[Source, ...] = ()
    """The texts of which false versions are made. With none there is no such stage."""
    kinds: tuple[Literal["additions", "relations"], ...] = ("additions", "relations")
    per_text: Positive = 2
    """Maximum of each kind for one text."""
    details: str = ""
    """File or URI of what may be added: `regions.parquet` of a dataset, or text with a detail a
    line. Without one, a bundled list."""
    policy: Literal["drop", "mark", "skip"] = "drop"
    """What becomes of those that the model finds true: left out, or kept with verified = false.
    With "skip" nothing is asked, and verified is null."""
    model: str = "lmm"
    prompt: str = "half_truths.v1"
    negative_true: Share = 0.5
    """A false version is confirmed when its change is true with less than this probability."""
    max_tokens: Positive = 8
    """Per question."""


class _Made(NamedTuple):
    """A false version of text `of`; `region` is the number of the region whose text it is."""

    of: Source
    region: int | None
    false: Falsehood


class HalfTruths(Stage):
    """Captions and long expressions -> the same with a false detail, or a relation turned round."""

    name = "half_truths"
    config_type = HalfTruthsConfig

    def __init__(self, config: HalfTruthsConfig) -> None:
        self.config = config
        if not config.kinds:
            raise UsageError("half_truths.kinds names none: additions, relations")
        self.details = Details(config.details)
        if config.policy != "skip":
            self.model = config.model
            self.prompt: Prompt | None = load_prompt(
                config.prompt, self.name, ("statements", "count")
            )

    @classmethod
    def make(cls, config: HalfTruthsConfig) -> Stage | None:
        """Returns the stage; None where no text is named."""
        if not config.texts:
            return None
        return MadeHalfTruths(config) if config.policy == "skip" else cls(config)

    def questions(self, record: Record) -> Sequence[Ask]:
        """Returns one question with the whole image, about all changes; none where there are
        none."""
        claims = _claims(self._made(record))
        if not claims:
            return ()
        assert self.prompt is not None
        lines = numbered([fence(claim, 300) for claim in claims])
        text = self.prompt.render(statements=lines, count=len(claims))
        tokens = 32 + self.config.max_tokens * len(claims)
        return [Ask(text, (WHOLE,), reply_schema("verify", len(claims)), tokens, ("yes", "no"))]

    def answer(self, record: Record, values: Sequence[Any]) -> Record:
        """Returns `record` with the false versions, by the probabilities that they are true. What
        has no answer is not confirmed."""
        made = self._made(record)
        [value] = values
        true = {claim: value.get(str(n)) for n, claim in enumerate(_claims(made), 1)}
        judged = [(one, self._is_false(true[one.false.claim])) for one in made]
        found_true = [one.false.claim for one, false in judged if not false]
        if self.config.policy == "drop":
            judged = [(one, false) for one, false in judged if false]
        kept = _added(record, judged)
        return kept.dropping(self.name, {"negative_true": found_true})

    def estimate(self, image: AverageImage) -> Estimate | None:
        """Returns one request with the whole image."""
        texts = sum(image.regions if of == "long_expr" else 1 for of in self.config.texts)
        claims = texts * self.config.per_text * len(self.config.kinds)
        return Estimate(1, prompt_tokens(self.prompt) + 12 * claims + image.tokens, 4 * claims + 2)

    def identity(self) -> dict[str, Any]:
        """Returns what decides the false versions as well: their details."""
        return {**super().identity(), "details": self.details.sha256}

    def _is_false(self, true: float | None) -> bool:
        return true is not None and true < self.config.negative_true

    def _made(self, record: Record) -> list[_Made]:
        return [
            _Made(of, region, false)
            for of, region, text in _texts(record, self.config.texts)
            for false in self._of_text(record, text)
        ]

    def _of_text(self, record: Record, text: str) -> Iterator[Falsehood]:
        if "additions" in self.config.kinds:
            named = kinds_of(_all_texts(record))
            seed = f"{record.key} {text}"
            true = [r.short_expr for r in record.regions if r.verified is not False]
            details = self.details.drawn(named, seed, self.config.per_text)
            yield from additions(text, details, true)
        if "relations" in self.config.kinds:
            yield from turned(text, self.config.per_text)


class MadeHalfTruths(HalfTruths):
    """The same without a question."""

    def apply(self, record: Record) -> Record:
        """Returns `record` with the false versions."""
        return _added(record, [(one, None) for one in self._made(record)])

    def estimate(self, image: AverageImage) -> None:
        """Returns None: no requests."""


def _texts(record: Record, named: Sequence[Source]) -> Iterator[tuple[Source, int | None, str]]:
    for of in named:
        if of == "long_expr":
            for number, region in enumerate(record.regions):
                yield of, number, region.long_expr
        else:
            yield of, None, getattr(record, of)


def _all_texts(record: Record) -> Iterator[str]:
    yield from (record.short_caption, record.long_caption, record.alt_text or "")
    yield from (phrase.text for phrase in record.phrases)
    for region in record.regions:
        yield from (region.short_expr, region.long_expr)


def _claims(made: Sequence[_Made]) -> list[str]:
    return list(dict.fromkeys(one.false.claim for one in made))


def _added(record: Record, judged: Sequence[tuple[_Made, bool | None]]) -> Record:
    """Returns `record` with the false versions, if there are any, as what the stage adds."""
    rows = [
        {"of": one.of, "region": one.region, **one.false._asdict(), "verified": verified}
        for one, verified in judged
    ]
    return record.adding(HalfTruths.name, rows) if rows else record
