"""The first stage of a build, where it is configured: leaves images out before any question."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from PIL import Image

from finehard.curate.config import CopiesConfig, CurateConfig
from finehard.curate.consent import without_value
from finehard.curate.judge import Judge, content, reasons
from finehard.errors import UsageError
from finehard.records import Record, Reject, reject
from finehard.stages.stage import Settings, Stage


class Curate(Stage):
    """Images that are not wanted -> rejects."""

    name = "curate"
    config_type = CurateConfig
    looks = True

    def __init__(self, config: CurateConfig) -> None:
        self.config = config
        self.reject_reasons = reasons(config)  # type: ignore[misc]  # with those of its checks
        self._judge: Judge | None = None

    @classmethod
    def make(cls, config: CurateConfig) -> Stage | None:
        """Returns the stage; None where nothing is configured."""
        if config.embeddings is not None:
            raise UsageError(
                "config: curate.embeddings: a build does not look for copies within its input; run "
                "finehard curate on the finished dataset"
            )
        return None if replace(config, copies=CopiesConfig()) == CurateConfig() else cls(config)

    def check(self, settings: Settings) -> None:
        """Loads all that judging takes, and lets it go."""
        Judge(self.config)

    def prepare(self) -> None:
        """Loads all that judging takes."""
        self._judge = self._judge or Judge(self.config)

    def look(self, record: Record, picture: Image.Image) -> Record | Reject:
        """Returns `record`, or a reject. Counted, though nothing is left out for it: columns that
        the source does not have for this image ("no_value")."""
        assert self._judge is not None  # prepared
        reason = self._judge.reason(record, picture)
        if reason is not None:
            return reject(record, self.name, reason.name, reason.detail)
        return record.dropping(
            self.name, {"no_value": without_value(record.metadata, self.config.columns)}
        )

    def identity(self) -> dict[str, Any]:
        """Returns the settings, and the content of the files and the model that they name."""
        return {**asdict(self.config), "content": content(self.config), "version": self.version}
