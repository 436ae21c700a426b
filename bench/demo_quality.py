"""How good the demo's data is, and what it takes: whole builds of unseen scenes, against the truth.

Scenes with a seed that no training used are built as `make build-finehard` builds them, once for
each engine that serves the bundled model. What is measured is the finished dataset. A second run
with `verify.policy: mark`, where the demo verifies at all, asks nothing again, and tells how often
verification is right.
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
"""Requests in flight for a replica: vLLM works on as many at once."""
GOALS = {
    "caption_precision": 0.95, "caption_recall": 0.90, "region_recall_50": 0.90,
    "region_precision_50": 0.90, "held_out_region_recall_50": 0.75, "region_text_correct": 0.95,
    "negatives_valid": 0.989,
}  # fmt: skip
FIRST_TRY = {"transformers": 0.98, "vllm": 0.999}
SECONDS_OF_200 = 90.0


def settings(folder: Path, engine: str, policy: str | None) -> Path:
    """The demo config, served by `engine`."""
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
    """Share of the replies kept in the journal that fitted the schema when first asked for."""
    requests: list[int] = []
    for part in (output / "_journal").glob("*/*/part-*.parquet"):
        requests += pq.read_table(part, columns=["requests"])["requests"].to_pylist()
    asked = [count for count in requests if count]  # the detector's rows have none
    invalid = json.loads((output / "manifest.json").read_text())["rejects"]
    lost = sum(invalid.get(reason, 0) for reason in ("invalid_reply", "truncated_reply"))
    return sum(count == 1 for count in asked) / max(1, len(asked) + lost)


def main() -> int:
    """Prints the table; 0 when all goals are met."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=4242)
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    chosen = parser.parse_args()
    folder = WORK / "demo-quality"
    shutil.rmtree(folder, ignore_errors=True)
    truth = write_scenes(
        folder / "scenes", ScenesConfig(count=chosen.scenes, seed=chosen.seed, workers=2)
    )
    found: dict[str, dict[str, float | None]] = {}
    for engine in chosen.engines:
        output = folder / engine
        run = build(settings(folder, engine, None), folder / "scenes", output)
        found[engine] = measured(str(output), str(truth))["figures"]
        usage = json.loads((output / "manifest.json").read_text())["usage"]
        found[engine]["seconds of 200 scenes"] = run.wall_s * 200 / chosen.scenes
        for stage, spent in usage.items():
            found[engine][f"{stage}: requests an image"] = spent["requests"] / chosen.scenes
        found[engine]["replies right at first try"] = first_try(output)
        if load_config("demo").verify.policy == "skip":
            continue
        build(settings(folder, engine, "mark"), folder / "scenes", output)
        marked = measured(str(output), str(truth))["figures"]
        found[engine]["verification_accuracy"] = marked["verification_accuracy"]
        for name in ("negatives_valid", "region_text_correct", "region_recall_50"):
            found[engine][f"{name}, not verified"] = marked[name]
    return 0 if told(found) else 1


def told(found: dict[str, dict[str, float | None]]) -> bool:
    """Prints all figures, then the goals; True when all are met."""
    rows = list(dict.fromkeys((*NAMES, *(name for one in found.values() for name in one))))
    print(f"{'':36}" + "".join(f"{engine:>14}" for engine in found))
    for row in rows:
        values = [one.get(row) for one in found.values()]
        shown = "".join(f"{'-':>14}" if v is None else f"{v:14.3f}" for v in values)
        print(f"{row:36}{shown}")
    met = []
    for engine, one in found.items():
        for name, goal in GOALS.items():
            met.append(verdict(f"{engine} {name}".upper(), one[name] or 0.0, goal, True))
        right = one["replies right at first try"] or 0.0
        met.append(verdict(f"{engine} FIRST TRY".upper(), right, FIRST_TRY[engine], True))
        seconds = one["seconds of 200 scenes"] or 0.0
        met.append(
            verdict(f"{engine} SECONDS OF 200".upper(), seconds, SECONDS_OF_200, False, " s")
        )
    if len(found) == 2:
        first, second = found.values()
        apart = max(abs((first[n] or 0.0) - (second[n] or 0.0)) for n in GOALS)
        met.append(verdict("ENGINES APART", apart, 0.01, False))
    return all(met)


if __name__ == "__main__":
    sys.exit(main())
