"""The benchmarks that names on the command line choose: declared ones, families, all, webdatasets,
and a user's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from finehard import registry
from finehard.benchmarks.benchmark import Benchmark
from finehard.benchmarks.declared import BENCHMARKS, SHORT
from finehard.benchmarks.folder import Folder
from finehard.benchmarks.measures import Classification
from finehard.benchmarks.readers.webdataset import kind_of, place_of, webdataset
from finehard.errors import UsageError
from finehard.io import storage

ALL = "all"
WDS = "wds/"
_PLACES = ("*", "wds/*", "datasets--clip-benchmark--wds_*/snapshots/*")


def choose(
    names: Sequence[str], root: str, key: str = "--benchmark"
) -> list[tuple[Benchmark, bool]]:
    """Returns the benchmarks that `names` choose, each once, and whether its files must be there:
    not those of "all" and of families.

    A name is that of a declared benchmark, of a family ("fgovd"), "wds/NAME", "all" or
    "module:attribute". Raises `UsageError`, which begins with `key`, for another name, `Absent` for
    a webdataset that is not below `root`.
    """
    chosen: dict[str, tuple[Benchmark, bool]] = {}
    for name in names:
        if name == ALL:
            own = [_webdataset(one, root) for one in webdatasets(root)]
            found, required = [*BENCHMARKS.values(), *own], False
        else:
            found = _named(name, root, key)
            required = len(found) == 1
        for one in found:
            required |= chosen.get(one.name, (one, False))[1]
            chosen[one.name] = one, required
    return list(chosen.values())


def _named(name: str, root: str, key: str) -> list[Benchmark]:
    if name.startswith(WDS):
        return [_webdataset(name.removeprefix(WDS), root)]
    if name in BENCHMARKS:
        return [BENCHMARKS[name]]
    if family := [one for one in BENCHMARKS.values() if one.name.startswith(f"{name}/")]:
        return family
    if ":" not in name:
        raise UsageError(
            f"{key}: {name!r} is not one of {', '.join(_families())}, wds/NAME, all, nor "
            "module:attribute"
        )
    own = registry.load(name, dict[str, Callable[[], object]](), key)
    if not isinstance(own, Benchmark):
        raise UsageError(f"{key}: {name} is no finehard.benchmarks.Benchmark")
    return [own]


def _families() -> list[str]:
    return list(dict.fromkeys(name.split("/")[0] for name in BENCHMARKS))


def webdatasets(root: str) -> list[str]:
    """Returns the names of the webdatasets below the local folder `root`; of a remote one none,
    since they would have to be looked for among all its objects."""
    if storage.is_remote(root):
        return []
    found = []
    for pattern in _PLACES:
        for file in sorted(Path(root).glob(f"{pattern}/test/nshards.txt")):
            place = file.parents[3] if "snapshots" in pattern else file.parents[1]
            found.append(place.name.split("--")[-1].removeprefix("wds_"))
    return list(dict.fromkeys(found))


def _webdataset(name: str, root: str) -> Benchmark:
    folder = place_of(root, name)
    kind = kind_of(folder)
    measure = SHORT if kind == "retrieval" else Classification()
    inside = folder.uri[len(root) :].strip("/")
    return Benchmark(
        f"{WDS}{name}", f"{name} (CLIP_benchmark, {kind})", inside, webdataset, measure,
        "CLIP_benchmark: the test split, classes and templates of the set",
    )  # fmt: skip


def folder_of(benchmark: Benchmark, root: str) -> Folder:
    """Returns the folder of `benchmark` below `root`."""
    return Folder(storage.join(root, benchmark.folder))
