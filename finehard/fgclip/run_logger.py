"""The log of a run: log.jsonl, skipped.jsonl, TensorBoard, Weights & Biases, and the terminal."""

from __future__ import annotations

import dataclasses
import json
import secrets
from pathlib import Path
from typing import Any

from finehard.console.training import TrainingProgress
from finehard.errors import UsageError
from finehard.fgclip.batch import Skipped

LOG, SKIPPED = "log.jsonl", "skipped.jsonl"
_WANDB = "wandb-id"
_NOT_USED = {"sample": "skipped", "regions": "regions dropped", "caption": "a caption is missing"}


class RunLogger:
    """Logs to folder `output` a run that has done `step` of `steps` steps. A context manager.

    What an earlier process logged of later steps is removed: those steps are run again.
    """

    def __init__(
        self, output: Path, step: int, steps: int, project: str = "", config: Any = None
    ) -> None:
        """With a `project` of Weights & Biases, the log and `config` are sent there too. Raises
        `UsageError` where its package is missing."""
        from torch.utils.tensorboard import SummaryWriter

        output.mkdir(parents=True, exist_ok=True)
        self._wandb = _wandb(output, project, config) if project else None
        self._printed: set[str] = set()
        for name in (LOG, SKIPPED):
            _truncate(output / name, step)
        self._log = open(output / LOG, "a", encoding="utf-8")  # noqa: SIM115
        self._skipped = open(output / SKIPPED, "a", encoding="utf-8")  # noqa: SIM115
        self._board = SummaryWriter(str(output / "tensorboard"), purge_step=step + 1)
        self._progress = TrainingProgress(step, steps)

    def log(self, step: int, values: dict[str, float], group: str = "train") -> None:
        """Writes a line of log.jsonl, and the same values elsewhere."""
        self._log.write(json.dumps({"step": step, "group": group, **values}) + "\n")
        self._log.flush()
        for name, value in values.items():
            self._board.add_scalar(f"{group}/{name}", value, step)
        if self._wandb:
            self._wandb.log({f"{group}/{name}": v for name, v in values.items()} | {"step": step})
        if group == "train":
            self._progress.log(values)

    def log_skipped(self, step: int, samples: list[Skipped]) -> None:
        """Writes a line of skipped.jsonl for each sample; prints the first of each kind."""
        for sample in samples:
            if sample.part not in self._printed:
                self._printed.add(sample.part)
                self.print(
                    f"finehard: {sample.shard}: {sample.key}: {_NOT_USED[sample.part]}: "
                    f"{sample.reason}; all such are listed in {SKIPPED}"
                )
            self._skipped.write(json.dumps({"step": step, **dataclasses.asdict(sample)}) + "\n")
        self._skipped.flush()

    def advance(self) -> None:
        """Counts a step on the terminal."""
        self._progress.advance()

    def print(self, text: str) -> None:
        """Prints to stderr, above the progress."""
        self._progress.print(text)

    def __enter__(self) -> RunLogger:
        self._progress.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Closes files and connections, and ends the progress."""
        self._progress.__exit__()
        if self._wandb:
            self._wandb.finish()
        self._board.close()
        self._log.close()
        self._skipped.close()


def _wandb(output: Path, project: str, config: Any) -> Any:
    """Returns a run of Weights & Biases, one for each `output`, also when that is resumed."""
    try:
        import wandb
    except ImportError:
        raise UsageError("run.wandb: wandb is missing: install finehard[wandb]") from None
    path = output / _WANDB
    name = path.read_text("utf-8") if path.exists() else secrets.token_hex(4)
    path.write_text(name, "utf-8")
    run = wandb.init(
        project=project, id=name, name=output.name, dir=str(output), config=config, resume="allow"
    )
    run.define_metric("*", step_metric="step")
    return run


def _truncate(path: Path, step: int) -> None:
    """Removes the lines after `step`, and a last line that was not written completely."""
    if not path.exists():
        return
    lines = []
    for line in path.read_text("utf-8").splitlines():
        try:
            row: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        if row["step"] <= step:
            lines.append(line + "\n")
    path.write_text("".join(lines), "utf-8")
