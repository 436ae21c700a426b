"""The contract of a stage: a record in, a record or a reject out.

A stage is pure: it knows nothing of HTTP, the journal or Beam. One that asks a model states its
questions and takes the answers; any other is a function of a record. Everything else that a build
needs of a stage (settings, version, reject reasons, cost) is declared here beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

from PIL import Image

from finehard.digest import digest
from finehard.images import ImagesConfig
from finehard.lmm.config import ModelConfig
from finehard.records import Box, Record, Reject
from finehard.schemas import ReplySchema
from finehard.stages.prompts import Prompt


class Ask(NamedTuple):
    """A question to a model. `views` are the parts of the image that it is shown."""

    text: str
    views: tuple[Box, ...]
    schema: ReplySchema
    max_tokens: int
    choices: tuple[str, str] | None = None
    """The two words that every entry of the reply is one of. `answer` then gets, for each entry,
    the probability of the first word as a float; the int 1 or 0 where the server reports none."""
    judge: Callable[[Any], str | None] | None = None
    """Returns why a reply that fits the schema is not worth keeping, on one line, or None. Such a
    reply is asked for once more; `answer` gets the second one, whatever it is."""


class Limits(NamedTuple):
    """What the servers of a stage's model take in one request; found by the preflight."""

    regions: int | None = None
    """The most regions in one request; None: as many as an image has."""
    tokens: int | None = None
    """The most tokens of a reply that the context leaves; None: as many as the stage allows."""


@dataclass(frozen=True)
class NoConfig:
    """The settings of a stage that has none."""


class AverageImage(NamedTuple):
    """What `finehard plan` assumes of an average image. Tokens are image tokens."""

    tokens: float
    crop_tokens: float
    regions: float
    negatives: float
    """Hard negatives per region."""


class Estimate(NamedTuple):
    """A stage's requests for an average image, and the tokens of one request."""

    requests: float
    prompt_tokens: float
    completion_tokens: float


class Settings(Protocol):
    """The parts of a build's config that decide what a stage's model sees."""

    @property
    def models(self) -> Mapping[str, ModelConfig]:
        """The models by name."""
        ...

    @property
    def images(self) -> ImagesConfig:
        """How images are shown to models."""
        ...


class Stage:
    """One stage of a pipeline. Override `apply`, or set `model` and override `questions` and
    `answer`.

    A stage is made in the command and sent to workers, so it must be picklable. Load prompts and
    schemas in `__init__`, and whatever is slow to load in `prepare`.
    """

    name: str
    """Unique in a pipeline; also its folder in the journal."""
    section: str = ""
    """The config section with its settings, where that is not `name`."""
    version: ClassVar[int] = 1
    """Raise it when the code gives other results than before for the same answers."""
    config_type: ClassVar[type] = NoConfig
    """The dataclass of its settings. Those of a stage that is not finehard's stand in the config
    under `stages:`, by its name."""
    reject_reasons: ClassVar[Mapping[str, str]] = {}
    """Its own reasons to reject a record, each with its meaning."""
    looks: ClassVar[bool] = False
    """Whether `look` is called, with the image, and not `apply`."""

    model: str | None = None
    """The model that is asked, a name under `models` in the config."""
    prompt: Prompt | None = None
    needs: Sequence[str] = ()
    """Stages without which a pipeline cannot have this one, by name."""
    limits: Limits = Limits()
    """Set by the preflight. A stage that asks about several regions at once splits them by it."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @classmethod
    def make(cls, config: Any) -> Stage | Sequence[Stage] | None:
        """Returns the stage for its settings; None where they leave it out of the pipeline, several
        where they ask for it more than once, each with its own name. Raises `UsageError` where
        they cannot work."""
        return cls(config)

    def check(self, settings: Settings) -> None:
        """Raises `FinehardError` where the stage could not run: part of the preflight."""

    def prepare(self) -> None:
        """Loads what `apply` or `look` needs; called once in each worker process, beside its first
        work."""

    def apply(self, record: Record) -> Record | Reject:
        """Returns `record` with the stage's work done, or a reject."""
        raise NotImplementedError(f"stage {self.name} has neither apply nor questions")

    def look(self, record: Record, picture: Image.Image) -> Record | Reject:
        """Returns `record` with the stage's work done, or a reject. `picture` is the image as
        displayed, RGB, its longest side at most `images.max_side` pixels; it is decoded once for
        all stages, so it must not be changed."""
        raise NotImplementedError(f"stage {self.name} looks, but has no look")

    def questions(self, record: Record) -> Sequence[Ask]:
        """Returns what to ask about `record`; empty when there is nothing to ask, and then
        `answer` is not called."""
        raise NotImplementedError(f"stage {self.name} has a model but no questions")

    def answer(self, record: Record, values: Sequence[Any]) -> Record | Reject:
        """Returns `record` with the model's answers, one to a question, each fitting its schema;
        or a reject."""
        raise NotImplementedError(f"stage {self.name} has questions but no answer")

    def without_answer(self, record: Record, rejected: Reject) -> Record | Reject:
        """Returns what becomes of `record` where a request about it failed or `answer` returned
        `rejected`: that reject, unless the stage can do without an answer."""
        return rejected

    def identity(self) -> dict[str, Any]:
        """Returns everything of the stage that decides how answers are understood, JSON-ready."""
        prompt = {"prompt": self.prompt.sha256} if self.prompt else {}
        return {**prompt, "version": self.version}

    def provenance(self, settings: Settings) -> dict[str, Any] | None:
        """Returns the model, revision and fingerprint that samples and manifest record.

        The fingerprint names everything that decides the stage's results but the record and the
        question: journal entries are found by it. None leaves the stage out of the records.
        """
        if self.model is None:
            fingerprint = digest([self.name, self.identity()])
            return {"model": None, "revision": str(self.version), "fingerprint": fingerprint}
        model, images = settings.models[self.model], settings.images
        shown = [images.max_side, images.crop_side, images.crop_margin, images.jpeg_quality]
        return {
            "model": model.model,
            "revision": model.revision,
            "fingerprint": digest([self.name, self.identity(), model.identity(), shown]),
        }

    def estimate(self, image: AverageImage) -> Estimate | None:
        """Returns what the stage will ask about an average image; None where it asks nothing."""
        return None


_CHARACTERS_PER_TOKEN = 4.0
TOKENS_PER_WORD = 1.4


def prompt_tokens(prompt: Prompt | None) -> float:
    """Returns about how many tokens a prompt's fixed text has."""
    return len(prompt.text) / _CHARACTERS_PER_TOKEN if prompt else 0.0


def numbered(lines: list[str]) -> str:
    """Returns `lines` as "1. ...", one to a line."""
    return "\n".join(f"{n}. {line}" for n, line in enumerate(lines, 1))
