"""Quality and cost of the demo's data: whole builds of unseen scenes, compared with the truth.

Scenes of a seed that no training used are built as `make build-finehard` builds them, once for each
engine that serves the bundled model; the finished dataset is measured. A second run with
`verify.policy: mark`, where the demo verifies at all, asks nothing again and gives the accuracy of
verification.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from bench.measure import WORK, build, verdict
from finehard.config import load_config
from finehard.demo.scenes import ScenesConfig, write_scenes
from finehard.truth.command import measured
from finehard.truth.measure import NAMES

ROOT = Path(__file__).parents[1]
ENGINES: dict[str, dict[str, Any]] = {
    "transformers": {"engine": "transformers"},
    "vllm": {
        "engine": "vllm",
        "replicas": 1,
        # xgrammar, the default, forbids this tokenizer's pieces that hold spaces
        "args": ["--enforce-eager", "--structured-outputs-config", '{"backend": "guidance"}'],
    },
}
WINDOW = {"transformers": 4, "vllm": 16}
"""Requests in flight per replica."""
GOALS = {
    "caption_precision": 0.95, "caption_recall": 0.90, "region_recall_50": 0.90,
    "region_precision_50": 0.90, "held_out_region_recall_50": 0.75, "region_text_correct": 0.95,
    "negatives_valid": 0.989,
}  # fmt: skip
FIRST_TRY = {"transformers": 0.98, "vllm": 0.999}
SECONDS_OF_200 = 90.0


def settings(folder: Path, engine: str, policy: str | None) -> Path:
    """Writes the demo config for `engine`; returns its path."""
    values = yaml.safe_load((ROOT / "configs" / "demo.yaml").read_text())
    values["server"]["engine"] |= ENGINES[engine]
    values["models"]["lmm"]["window"] = WINDOW[engine]
    if policy:
        values["verify"] = {**values.get("verify", {}), "policy": policy}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{engine}-{policy}.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def first_try(output: Path) -> float:
    """Returns the share of replies in the journal that were valid at the first request."""
    requests: list[int] = []
    for part in (output / "_journal").rglob("part-*.parquet"):
        requests += pq.read_table(part, columns=["requests"])["requests"].to_pylist()
    requests = [count for count in requests if count]  # the detector's rows have none
    invalid = json.loads((output / "manifest.json").read_text())["rejects"]
    lost = sum(invalid.get(reason, 0) for reason in ("invalid_reply", "truncated_reply"))
    return sum(count == 1 for count in requests) / max(1, len(requests) + lost)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=4242)
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    args = parser.parse_args()
    folder = WORK / "demo-quality"
    shutil.rmtree(folder, ignore_errors=True)
    truth = write_scenes(
        folder / "scenes", ScenesConfig(count=args.scenes, seed=args.seed, workers=2)
    )
    figures: dict[str, dict[str, float | None]] = {}
    for engine in args.engines:
        output = folder / engine
        run = build(settings(folder, engine, None), folder / "scenes", output)
        figures[engine] = measured(str(output), str(truth))["figures"]
        usage = json.loads((output / "manifest.json").read_text())["usage"]
        figures[engine]["seconds of 200 scenes"] = run.wall_s * 200 / args.scenes
        for stage, spent in usage.items():
            figures[engine][f"{stage}: requests an image"] = spent["requests"] / args.scenes
        figures[engine]["replies right at first try"] = first_try(output)
        if load_config("demo").verify.policy == "skip":
            continue
        build(settings(folder, engine, "mark"), folder / "scenes", output)
        marked = measured(str(output), str(truth))["figures"]
        figures[engine]["verification_accuracy"] = marked["verification_accuracy"]
        for name in ("negatives_valid", "region_text_correct", "region_recall_50"):
            figures[engine][f"{name}, not verified"] = marked[name]
    return 0 if print_figures(figures) else 1


def print_figures(figures: dict[str, dict[str, float | None]]) -> bool:
    """Prints all figures, then the goals; returns whether all are met."""
    rows = list(dict.fromkeys((*NAMES, *(name for one in figures.values() for name in one))))
    print(f"{'':36}" + "".join(f"{engine:>14}" for engine in figures))
    for row in rows:
        values = [one.get(row) for one in figures.values()]
        cells = "".join(f"{'-':>14}" if v is None else f"{v:14.3f}" for v in values)
        print(f"{row:36}{cells}")
    met = []
    for engine, one in figures.items():
        for name, goal in GOALS.items():
            met.append(verdict(f"{engine} {name}".upper(), one[name] or 0.0, goal, True))
        right = one["replies right at first try"] or 0.0
        met.append(verdict(f"{engine} FIRST TRY".upper(), right, FIRST_TRY[engine], True))
        seconds = one["seconds of 200 scenes"] or 0.0
        met.append(
            verdict(f"{engine} SECONDS OF 200".upper(), seconds, SECONDS_OF_200, False, " s")
        )
    if len(figures) == 2:
        first, second = figures.values()
        apart = max(abs((first[n] or 0.0) - (second[n] or 0.0)) for n in GOALS)
        met.append(verdict("ENGINES APART", apart, 0.01, False))
    return all(met)


if __name__ == "__main__":
    sys.exit(main())
