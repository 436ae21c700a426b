"""Which model made what: per stage, for the manifest and for every sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from finehard import phrases
from finehard.beam.ask import fingerprint
from finehard.beam.detect import detect_fingerprint
from finehard.config import Config
from finehard.detect import detector_identity
from finehard.digest import digest
from finehard.negatives.lexicon import VERSION as LEXICON
from finehard.stages.prompts import Prompt
from finehard.stages.stage import Stage


@dataclass(frozen=True)
class Provenance:
    """`stages` maps each stage to model, revision and fingerprint; `prompts` are those used."""

    stages: dict[str, Any]
    prompts: tuple[Prompt, ...]


def provenance(asked: Sequence[Stage], config: Config) -> Provenance:
    """The provenance of a build whose stages that ask a model are `asked`."""
    stages = {}
    for stage in asked:
        model = config.models[stage.model]
        stages[stage.name] = _entry(model.model, model.revision, fingerprint(stage, config))
    if config.negatives.backend == "lexicon":
        stages["negatives"] = _entry("lexicon", str(LEXICON), digest(["lexicon", LEXICON]))
    lexicon = phrases.identity(config.phrases)
    stages["phrases"] = _entry(lexicon.get("model"), lexicon.get("version"), digest(lexicon))
    detector = detector_identity(config.detect)
    revision = detector.get("model_sha256") or detector["revision"]
    stages["detect"] = _entry(detector["model"], revision, detect_fingerprint(config))
    return Provenance(stages, tuple(stage.prompt for stage in asked))


def _entry(model: Any, revision: Any, name: str) -> dict[str, Any]:
    return {"model": model, "revision": revision, "fingerprint": name}
