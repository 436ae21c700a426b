"""The log of a run: log.jsonl, skipped.jsonl, TensorBoard, and a progress bar."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from finehard.fgclip.batch import Skipped

LOG, SKIPPED = "log.jsonl", "skipped.jsonl"
_NOT_USED = {"sample": "skipped", "regions": "regions dropped", "caption": "a caption is missing"}


class RunLogger:
    """Logs to folder `output` a run that has done `step` of `steps` steps.

    What an earlier process logged of later steps is removed: those steps are run again.
    """

    def __init__(self, output: Path, step: int, steps: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        output.mkdir(parents=True, exist_ok=True)
        self._printed: set[str] = set()
        for name in (LOG, SKIPPED):
            _truncate(output / name, step)
        self._log = open(output / LOG, "a", encoding="utf-8")  # noqa: SIM115
        self._skipped = open(output / SKIPPED, "a", encoding="utf-8")  # noqa: SIM115
        self._board = SummaryWriter(str(output / "tensorboard"), purge_step=step + 1)
        self._bar = tqdm(
            total=steps, initial=step, unit="step", disable=not sys.stderr.isatty(), smoothing=0.1
        )

    def log(self, step: int, values: dict[str, float], group: str = "train") -> None:
        """Writes a line of log.jsonl, and the same values to TensorBoard."""
        self._log.write(json.dumps({"step": step, "group": group, **values}) + "\n")
        self._log.flush()
        for name, value in values.items():
            self._board.add_scalar(f"{group}/{name}", value, step)
        if group == "train":
            self._bar.set_postfix(loss=f"{values['loss']:.4f}", refresh=False)

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
        """Advances the progress bar by a step."""
        self._bar.update()

    def print(self, text: str) -> None:
        """Prints to stderr without breaking the progress bar."""
        tqdm.write(text, file=sys.stderr)

    def close(self) -> None:
        """Closes files and progress bar."""
        self._bar.close()
        self._board.close()
        self._log.close()
        self._skipped.close()


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
