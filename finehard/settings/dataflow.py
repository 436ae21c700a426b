"""The `dataflow` section of a config: the machines of a build on Dataflow."""

from __future__ import annotations

from dataclasses import dataclass

from finehard.errors import UsageError
from finehard.settings.ranges import Positive

MACHINES: dict[str, dict[int, str]] = {
    "nvidia-l4": {n: f"g2-standard-{12 * n}" for n in (1, 2, 4, 8)},
    "nvidia-tesla-a100": {n: f"a2-highgpu-{n}g" for n in (1, 2, 4, 8)},
    "nvidia-a100-80gb": {n: f"a2-ultragpu-{n}g" for n in (1, 2, 4, 8)},
    "nvidia-h100-80gb": {n: f"a3-highgpu-{n}g" for n in (1, 2, 4, 8)},
}
"""The machine type by accelerator and their number (cloud.google.com/compute/docs/gpus). Of the
four types of machine with one L4 this is the one with as many cores a GPU as those with more."""


@dataclass(frozen=True)
class DataflowConfig:
    """The machines of a build on Dataflow.

    accelerator     type of the GPUs of the machines that read images, ask models and detect
    python          version of Python in the workers' image, which the command must run too: the
                    pipeline is sent pickled
    gpus            number of them a machine
    machine_type    of these machines; default: by type and number of the GPUs
    writer_machine_type     of the machines that list the input and write shards, without GPUs
    workers         the most machines at a time
    disk_gb         of each: the image unpacked (some 30 GB), the models' weights, shards under way

    Raises UsageError if a machine cannot be told from the accelerator.
    """

    accelerator: str = "nvidia-l4"
    python: str = "3.12"
    gpus: Positive = 1
    machine_type: str | None = None
    writer_machine_type: str = "n2-standard-4"
    workers: Positive = 8
    disk_gb: Positive = 200

    def __post_init__(self) -> None:
        if self.machine_type is not None:
            return
        machines = MACHINES.get(self.accelerator)
        if machines is None:
            raise UsageError(
                f"dataflow.accelerator: no machine type is known for {self.accelerator!r}: name it "
                f"in dataflow.machine_type, or use one of {', '.join(MACHINES)}"
            )
        if self.gpus not in machines:
            raise UsageError(
                f"dataflow.gpus: a machine with {self.accelerator} has "
                f"{', '.join(map(str, machines))} of them, not {self.gpus}"
            )

    def hint(self) -> str:
        """Returns the value of Beam's resource hint "accelerator" for the steps that need a GPU
        (cloud.google.com/dataflow/docs/guides/right-fitting)."""
        machine = self.machine_type or MACHINES[self.accelerator][self.gpus]
        return (
            f"type:{self.accelerator};count:{self.gpus};machine_type:{machine};"
            "install-nvidia-driver"
        )
