"""What the workers of a pass over a finished dataset need to know, and the files they leave."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from finehard import registry, rejects
from finehard.curate.config import CurateConfig
from finehard.curate.embeddings import Embedder
from finehard.curate.judge import Judge, reasons
from finehard.dataset.layout import JOURNAL, shard_name
from finehard.io import storage


@dataclass(frozen=True)
class Work:
    """A pass over `dataset`, which has `shards` shards, into `output`, which will have
    `new_shards`. `marks` is a digest of all that decides what is measured."""

    dataset: str
    output: str
    run: str
    marks: str
    shards: int
    config: CurateConfig
    new_shards: int = 0
    code: registry.UserCode = registry.UserCode()
    storage: storage.Options = field(default_factory=dict, repr=False)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickles, and makes stores' options, the user's modules and the reasons known here."""
        self.__dict__.update(state)
        storage.configure(self.storage)
        registry.install(self.code)
        rejects.declare(reasons(self.config))

    @property
    def folder(self) -> str:
        """The folder of what is measured; it stays until the dataset is complete, so that a pass
        that was stopped measures nothing twice."""
        return storage.join(self.output, JOURNAL, "_curated", self.marks)

    def shard(self, number: int) -> str:
        """The name of a shard of the dataset, without suffix."""
        return shard_name(number, self.shards)

    def file(self, kind: str, number: int) -> str:
        """The file of one `kind` of figures of shard `number`, or of part `number` of a step."""
        return storage.join(self.folder, f"{kind}-{number:05d}")

    def judge(self) -> Judge:
        """Returns the judge of single images, loaded once in a process."""
        if self.run not in _judges:
            _judges[self.run] = Judge(self.config)
        return _judges[self.run]

    def embedder(self) -> Embedder | None:
        """Returns the model of `curate.embeddings`, loaded once in a process; None without."""
        if self.config.embeddings is None:
            return None
        if self.run not in _embedders:
            _embedders[self.run] = Embedder(self.config.embeddings)
        return _embedders[self.run]


_judges: dict[str, Judge] = {}
_embedders: dict[str, Embedder] = {}
