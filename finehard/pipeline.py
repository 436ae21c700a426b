"""A pipeline file: which stages there are, in which order, and how Beam runs them.

FILE.py[:function] holds a tuple `STAGES` of `Stage` classes and a function
`function(pipeline, files, build)` that adds the build to a Beam pipeline. All that knows of stages
(plan, provenance, progress, settings, report) goes by `STAGES`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finehard import registry, rejects
from finehard.config import Config
from finehard.errors import UsageError
from finehard.io.storage import project_file
from finehard.settings.read import checked
from finehard.stages.recaption import Recaption
from finehard.stages.stage import Stage

BUNDLED = "build_finehard"


@dataclass(frozen=True)
class Pipeline:
    """A pipeline file, imported."""

    stages: tuple[type[Stage], ...]
    construct: Callable[[Any, Any, Any], Any]
    """Takes a Beam pipeline, the source files and the `Build`."""
    bundled: bool = True


def load_pipeline(spec: str | None = None) -> Pipeline:
    """Imports the pipeline FILE.py[:function], or the bundled one of that name (build_finehard, if
    there is none; recaption). The function need not be named where it has the file's name.

    Raises `UsageError` where there is no such file, or it is not a pipeline.
    """
    spec = spec or BUNDLED
    bundled = project_file("pipelines", f"{BUNDLED}.py").parent / f"{spec}.py"
    by_name = "/" not in spec and bundled.is_file()
    path, _, name = (str(bundled) if by_name else spec).partition(".py")
    file, name = f"{path}.py", name.removeprefix(":") or os.path.basename(path)
    if not os.path.isfile(file):
        known = ", ".join(sorted(found.stem for found in bundled.parent.glob("[!_]*.py")))
        raise UsageError(
            f"--pipeline {spec}: there is no file {file} (give FILE.py[:function], or one of "
            f"{known})"
        )
    registry.add_path(os.path.dirname(file))
    module = registry.import_module(os.path.basename(path), f"--pipeline {file}")
    if not os.path.samefile(module.__file__ or "", file):
        raise UsageError(
            f"--pipeline {file}: Python already has a module of this name "
            f"({module.__file__}): rename the file"
        )
    construct, stages = getattr(module, name, None), getattr(module, "STAGES", None)
    if not callable(construct):
        raise UsageError(f"--pipeline {file}: there is no function {name}")
    if not isinstance(stages, Sequence) or not all(_is_stage(stage) for stage in stages):
        raise UsageError(f"--pipeline {file}: STAGES must be a tuple of subclasses of Stage")
    names = [stage.name for stage in stages]
    if double := next((n for n in names if names.count(n) > 1), None):
        raise UsageError(f"--pipeline {file}: STAGES has two stages named {double!r}")
    return Pipeline(tuple(stages), construct, bundled=by_name and spec == BUNDLED)


def _is_stage(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Stage) and hasattr(value, "name")


def make_stages(pipeline: Pipeline, config: Config) -> tuple[Stage, ...]:
    """Makes the stages from their sections of `config`, without those that the settings leave out,
    and makes their reject reasons known.

    Raises `UsageError` where a section is wrong, names a model that is not there, or belongs to no
    stage of the pipeline, and where a stage lacks another that it needs.
    """
    known = {stage.name for stage in pipeline.stages}
    if strangers := sorted(config.stages.keys() - known):
        raise UsageError(f"config: stages.{strangers[0]}: the pipeline has no such stage")
    if config.recaption is not None and Recaption.name not in known:
        raise UsageError(
            "config: recaption: the pipeline has no such stage (--pipeline recaption has)"
        )
    stages = tuple(stage for kind in pipeline.stages for stage in _make(kind, config))
    for stage in stages:
        if missing := [name for name in stage.needs if name not in known]:
            raise UsageError(
                f"config: with these settings stage {stage.name} needs {', '.join(missing)}, "
                "which the pipeline's STAGES do not have"
            )
    return stages


def _make(kind: type[Stage], config: Config) -> Iterator[Stage]:
    section = getattr(config, kind.section or kind.name, None)
    if section is None:
        values: Mapping[str, Any] = config.stages.get(kind.name, {})
        section = checked(values, kind.config_type, f"config: stages.{kind.name}")
    made = kind.make(section)
    for stage in [made] if isinstance(made, Stage) else made or ():
        if stage.model is not None and stage.model not in config.models:
            where = f"the model of stage {stage.name}" if stage.section else f"{stage.name}.model"
            raise UsageError(
                f"config: {where} is {stage.model!r}, but models has only "
                + ", ".join(sorted(config.models))
            )
        rejects.declare(kind.reject_reasons)
        yield stage
