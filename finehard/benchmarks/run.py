"""Runs benchmarks one after the other; a finished one is a JSON file, and is not run again."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from finehard import registry
from finehard.benchmarks import interval
from finehard.benchmarks.benchmark import Benchmark, Figure
from finehard.benchmarks.chosen import folder_of
from finehard.benchmarks.encoder import NO_FILE, Encoder, Missing, Progress, is_there
from finehard.benchmarks.folder import Absent
from finehard.benchmarks.model import Model
from finehard.digest import digest, folder_revision
from finehard.errors import FinehardError
from finehard.io import storage

VERSION = 2
"""Of how figures are computed; another one runs all benchmarks again."""


@dataclasses.dataclass(frozen=True)
class Result:
    """What was measured of a model on a benchmark; see `docs/benchmarks.md` for the JSON."""

    benchmark: str
    title: str
    protocol: str
    deviations: tuple[str, ...]
    published_as: str
    figures: tuple[Figure, ...]
    images: int
    expected: int
    missing: tuple[Missing, ...]
    notes: tuple[str, ...]
    cut: dict[str, int]
    model: dict[str, Any]
    settings: dict[str, Any]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Returns it JSON-ready."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        figures = [one._asdict() for one in self.figures]
        return {**values, "figures": figures, "missing": [one._asdict() for one in self.missing]}


class Run(NamedTuple):
    """Results, and a line for each benchmark whose files are not there or that failed."""

    results: list[Result]
    absent: list[str]
    failed: list[str]


def of_dict(values: dict[str, Any]) -> Result:
    """Returns the `Result` that `as_dict` was called of."""
    return Result(
        **{
            **values,
            "figures": tuple(Figure(**one) for one in values["figures"]),
            "missing": tuple(Missing(**one) for one in values["missing"]),
            "deviations": tuple(values["deviations"]),
            "notes": tuple(values["notes"]),
        }
    )


def measure(
    benchmark: Benchmark,
    model: Model,
    root: str,
    progress: Progress = lambda done, of: None,
    strict: bool = False,
    settings: dict[str, Any] | None = None,
) -> Result:
    """Returns what `model` does on `benchmark`, whose folder is below `root`.

    Raises `Absent` where its files are not there, and `FinehardError` where they are not in its
    format, where no image is there, and with `strict` where one is missing.
    """
    start = time.monotonic()
    before = dict(model.cut)
    data = benchmark.read(folder_of(benchmark, root))
    if not data.items:
        raise FinehardError("its files name no image")
    encoder = Encoder(model, progress, strict)
    figures = benchmark.measure(data, encoder)
    cut: dict[str, int] = {kind: n - before.get(kind, 0) for kind, n in model.cut.items()}
    deviations = list(benchmark.deviations)
    if benchmark.images is not None and encoder.expected != benchmark.images:
        deviations.append(
            f"{encoder.expected:,} images, where the published set has {benchmark.images:,}"
        )
    if encoder.missing:
        deviations.append(
            f"{len(encoder.missing):,} of {encoder.expected:,} images are missing; figures are over"
            f" {encoder.images:,}"
        )
    deviations += [
        f"{n:,} {kind} texts are cut to the model's length" for kind, n in cut.items() if n
    ]
    if encoder.spelled:
        deviations.append(
            f"{encoder.spelled:,} of {encoder.texts:,} texts have words that the model's tokenizer "
            "does not have, as of a language that it is not made for"
        )
    return Result(
        benchmark.name, benchmark.title, benchmark.protocol, tuple(deviations),
        benchmark.published_name(), tuple(figures), encoder.images, encoder.expected,
        tuple(encoder.missing), (*data.notes, *encoder.notes), cut,
        {"name": model.name, **model.describe()}, settings or {}, time.monotonic() - start,
    )  # fmt: skip


def run(
    benchmarks: Sequence[tuple[Benchmark, bool]],
    model: Model,
    spec: str,
    root: str,
    output: str | None,
    strict: bool = False,
    progress: Callable[[str], Progress] = lambda name: lambda done, of: None,
) -> Run:
    """Measures `benchmarks`, given with whether their files must be there, of the model that `spec`
    names. One that fails does not keep the others from being measured.

    With a folder `output`, each result is written to NAME.json there, and one that is there with
    the same settings is not measured again, unless an image that was missing is there now.
    """
    found = Run([], [], [])
    for benchmark, required in benchmarks:
        settings = {
            "version": VERSION, "benchmark": benchmark.name, "data": root, "model": spec,
            "revision": folder_revision(spec), "described": model.describe(),
            "protocol": benchmark.protocol, "draws": interval.DRAWS, "seed": interval.SEED,
            "code": digest(registry.user_code().sources),
        }  # fmt: skip
        settings = json.loads(json.dumps(settings))
        file = storage.join(output, f"{benchmark.name}.json") if output else None
        result = _finished(file, settings) if file else None
        if result is None or (result.missing and (strict or _found_since(result, benchmark, root))):
            try:
                shown = progress(benchmark.name)
                result = measure(benchmark, model, root, shown, strict, settings)
            except FinehardError as error:
                lacks = isinstance(error, Absent) and not required
                (found.absent if lacks else found.failed).append(f"{benchmark.name}: {error}")
                continue
            if file:
                storage.write(file, json.dumps(result.as_dict(), indent=1).encode())
        found.results.append(result)
    return found


def _finished(file: str, settings: dict[str, Any]) -> Result | None:
    """Returns the result in `file`, None where there is none with these settings."""
    if not storage.exists(file):
        return None
    try:
        result = of_dict(json.loads(storage.read_all(file)))
    except (ValueError, KeyError, TypeError):
        return None
    return result if result.settings == settings else None


def _found_since(result: Result, benchmark: Benchmark, root: str) -> bool:
    """Returns whether an image that `result` lacks is there now; also where that cannot be told."""
    lost = {one.name for one in result.missing if one.reason == NO_FILE}
    try:
        items = benchmark.read(folder_of(benchmark, root)).items
    except FinehardError:
        return True
    return any(one.picture.name in lost and is_there(one.picture) for one in items)
