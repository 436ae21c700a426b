"""The demo command: renders scenes and builds a dataset from them, with the demo's own models."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from finehard.cli.build import run_build
from finehard.config import PACKAGE_FOLDER, load_config
from finehard.dataset.layout import REPORT
from finehard.errors import FinehardError, UsageError
from finehard.io import storage
from finehard.preflight import check_output

TRUTH = "truth.jsonl"
"""Written last by `write_scenes`: where it is, the scenes are complete."""


def run_demo(
    output: str, scenes: int, seed: int, settings: Sequence[str], beam: Sequence[str]
) -> None:
    """Builds the dataset `output` from `scenes` rendered ones, and prints where its report is.

    The scenes are in a folder beside `output`, and rendered only if they are not there yet. Raises
    `FinehardError` where the demo's models or packages are missing, before anything is written.
    """
    if scenes < 1 or seed < 0:
        name, value, least = ("seed", seed, 0) if scenes >= 1 else ("scenes", scenes, 1)
        raise UsageError(f"--{name} {value}: give at least {least}")
    if storage.is_remote(output):
        raise UsageError(f"--output {output}: give a local folder")
    _require_demo()
    config = load_config("demo", settings)
    folder = Path(output).parent / f"scenes-{scenes}-{seed}"
    check_output(storage.local(output), storage.local(str(folder)))
    if not (folder / TRUTH).exists():
        from finehard.demo.scenes import ScenesConfig, write_scenes

        print(f"rendering {scenes} scenes into {folder} ...", flush=True)
        write_scenes(folder, ScenesConfig(count=scenes, seed=seed, workers=os.cpu_count() or 1))
    run_build(config, str(folder), output, beam=beam)
    print(f"open {os.path.join(output, REPORT)} in a browser")


def _require_demo() -> None:
    packages = ("torch", "torchvision", "transformers", "scipy", "fastapi", "uvicorn")
    missing = [name for name in packages if find_spec(name) is None]
    if not (PACKAGE_FOLDER / "demo" / "models" / "vlm").is_dir():
        missing.insert(0, "the demo's models")
    if missing:
        raise FinehardError(
            f"finehard demo needs {', '.join(missing)}: pip install 'finehard[demo]'"
        )
