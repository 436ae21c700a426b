"""All reasons for which one image is left out by itself, the cheap ones first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from finehard.curate.checks import load_check
from finehard.curate.config import CurateConfig
from finehard.curate.consent import column_reason, license_reason
from finehard.curate.quality import quality_reason, size_reason
from finehard.curate.reason import REASONS, Reason
from finehard.digest import folder_revision
from finehard.io import storage
from finehard.records import Record

if TYPE_CHECKING:
    from finehard.curate.fingerprint import Fingerprint


class Judge:
    """Judges images by `config`; holds what that takes: evaluation sets, models, checks."""

    def __init__(self, config: CurateConfig) -> None:
        """Raises `FinehardError` where a file, a model, a check or a package is missing."""
        self._config = config
        self._checks = tuple(map(load_check, config.checks))
        self._similarity = None
        if config.similarity is not None:
            from finehard.curate.similarity import Similarity

            self._similarity = Similarity(config.similarity)
        self._evaluation = None
        if config.evaluation:
            from finehard.curate.evaluation import Evaluation, read_fingerprints

            self._evaluation = Evaluation(read_fingerprints(config.evaluation), config.copies)

    def reason(
        self, record: Record, picture: Image.Image, printed: Fingerprint | None = None
    ) -> Reason | None:
        """Returns why the image of `record` is left out, or None; `picture` is it decoded, and
        `printed` its fingerprint, where the caller has it."""
        config = self._config
        return (
            size_reason(record.width, record.height, config)
            or license_reason(record.license, config.licenses)
            or column_reason(record.metadata, config.columns)
            or quality_reason(picture, config)
            or next(filter(None, (check(record, picture) for check in self._checks)), None)
            or self._copied(record, picture, printed)
            or (self._similarity and self._similarity.reason(record.alt_text, picture))
            or None
        )

    def _copied(
        self, record: Record, picture: Image.Image, printed: Fingerprint | None
    ) -> Reason | None:
        if self._evaluation is None:
            return None
        from finehard.curate.fingerprint import fingerprint

        same = self._evaluation.copied(record.sha256)
        return same or self._evaluation.copy(printed or fingerprint(picture))


def content(config: CurateConfig) -> list[str]:
    """Returns the content of each file and model that `config` names, or its name where it is no
    local one."""
    named = [*config.evaluation, *(m.model for m in (config.similarity, config.embeddings) if m)]
    return [folder_revision(storage.local(each)) or each for each in named]


def reasons(config: CurateConfig) -> dict[str, str]:
    """Returns the reasons that `config` can give, each with its meaning."""
    own = {name: text for spec in config.checks for name, text in load_check(spec).reasons.items()}
    return {**REASONS, **own}
