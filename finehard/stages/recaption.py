"""Captions of an image by several captioners, one stage each: alternatives of each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from finehard.errors import UsageError
from finehard.records import Record, Reject
from finehard.stages.caption import Caption, CaptionConfig

EXTRA = "captions"
"""In `extra` of a sample: all its captions, where there are several captioners."""
_NAME = re.compile("[a-z0-9_-]{1,40}")


@dataclass(frozen=True)
class RecaptionConfig:
    """Who captions the images of `--pipeline recaption`."""

    captioners: dict[str, CaptionConfig] = field(default_factory=dict)
    """By a name of your own, in the order in which their captions count: the first that is usable
    is the sample's, all of them are in its `extra.captions`."""


class Recaption(Caption):
    """Image -> short and long caption by one captioner. What an image lacks of it is counted as
    dropped; only an image that no captioner has a usable caption of is rejected, by the last."""

    name = "recaption"
    config_type = RecaptionConfig

    def __init__(self, captioner: str, config: CaptionConfig, only: bool, last: bool) -> None:
        super().__init__(config)
        self.name = f"{Recaption.name}-{captioner}"
        self.section = f"{Recaption.name}.captioners.{captioner}"
        self.prompt = replace(self.prompt, name=self.name)  # the manifest's prompts are by name
        self.captioner = captioner
        self._only = only
        self._last = last

    @classmethod
    def make(cls, config: RecaptionConfig) -> Sequence[Recaption]:
        """Returns a stage for each captioner."""
        named = list(config.captioners)
        if not named:
            raise UsageError(
                "config: recaption.captioners names none: give at least one, or --config recaption"
            )
        for name in named:
            if not _NAME.fullmatch(name):
                raise UsageError(
                    f"config: recaption.captioners.{name[:60]}: a name has at most 40 of a-z, 0-9, "
                    "_ and -"
                )
        return [
            cls(name, config.captioners[name], only=len(named) == 1, last=name == named[-1])
            for name in named
        ]

    def answer(self, record: Record, values: Sequence[Any]) -> Record | Reject:
        """`record` with these captions beside those of earlier captioners."""
        made = super().answer(record, values)
        if self._only or isinstance(made, Reject):
            return made
        caption = {
            "captioner": self.captioner,
            "short_caption": made.short_caption,
            "long_caption": made.long_caption,
        }
        captions = [*record.extra.get(EXTRA, ()), caption]
        first = captions[0]
        return replace(
            made.adding(EXTRA, captions),
            short_caption=first["short_caption"],
            long_caption=first["long_caption"],
        )

    def without_answer(self, record: Record, rejected: Reject) -> Record | Reject:
        """`record` as it is, while another captioner has a caption of it or still may."""
        if self._last and not record.short_caption:
            return rejected
        return record.dropping(self.name, {rejected.reason: [rejected.detail]})
