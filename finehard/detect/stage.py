"""The detect stage: phrases -> boxes. Raw boxes are journaled, so selection can be redone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from finehard.detect import DetectConfig, Detection, check_detector, detector_identity, select
from finehard.detect.served import served_identity
from finehard.digest import digest
from finehard.records import Record, Region
from finehard.stages.stage import Settings, Stage


class Detect(Stage):
    """Phrases -> regions: the boxes that the detector locates them in."""

    name = "detect"
    config_type = DetectConfig

    _served: dict[str, Any] | None = None

    def check(self, settings: Settings) -> None:
        """Raises `FinehardError` if the detector cannot be loaded, or its servers are not it; loads
        no weights."""
        if self.config.endpoints:
            self._served = served_identity(self.config, settings.images)
        else:
            check_detector(self.config)

    def identity(self) -> dict[str, Any]:
        """Returns everything that changes the detector's raw boxes."""
        return self._served or detector_identity(self.config)

    def provenance(self, settings: Settings) -> dict[str, Any]:
        """Returns the detector, and its content hash or revision."""
        used = self.identity()
        fingerprint = [self.name, self.version, used, settings.images.max_side]
        return {
            "model": used["model"],
            "revision": used.get("model_sha256") or used["revision"],
            "fingerprint": digest(fingerprint),
        }

    def question(self, record: Record) -> list[str]:
        """Returns the phrases to detect."""
        return [phrase.text for phrase in record.phrases]

    def answer_raw(self, record: Record, raw: list[Any]) -> Record:
        """Returns `record` with the regions selected from raw boxes [phrase index, xyxy, score]."""
        detections = [Detection(phrase, tuple(box), score) for phrase, box, score in raw]
        selected, dropped = select(detections, self.config, record.width, record.height)
        left_out = {
            rule: [f"{record.phrases[box.phrase].text}, score {box.score:.2f}" for box in boxes]
            for rule, boxes in dropped.items()
        }
        regions = tuple(_region(record, detection) for detection in selected)
        return replace(record, regions=regions).dropping(self.name, left_out)


def _region(record: Record, detection: Detection) -> Region:
    phrase = record.phrases[detection.phrase]
    return Region(detection.box, detection.score, phrase.text, phrase.text, phrase.long)
