"""Blind audit of the demo's hard negatives, before and after balanced selection.

Unseen scenes are built without and then with `negatives.balance: true`; the second build asks
nothing. Nothing is verified: the demo's model was not trained on the words that balancing adds from
the lexicon, and answers questions about them with what is no JSON. Goals: from the texts alone the
true one is picked among its negatives in at most 14 % (chance with 10 negatives: 9.1 %), and
balancing drops at most 20 %.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

from bench.measure import WORK, build, verdict
from finehard.audit import audit
from finehard.audit.item import read_items
from finehard.demo.scenes import ScenesConfig, write_scenes

ROOT = Path(__file__).parents[1]


def settings(folder: Path, balance: bool) -> Path:
    """Writes the demo config with or without balancing; returns its path."""
    values: dict[str, Any] = yaml.safe_load((ROOT / "configs" / "demo.yaml").read_text())
    values["negatives"]["balance"] = balance
    values["verify"]["policy"] = "skip"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"balance-{balance}.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=4242)
    args = parser.parse_args()
    folder = WORK / "demo-audit"
    shutil.rmtree(folder, ignore_errors=True)
    write_scenes(folder / "scenes", ScenesConfig(count=args.scenes, seed=args.seed, workers=2))
    output = folder / "out"
    print(f"{'':10}{'negatives':>10}{'balanced away':>15}{'accuracy':>10}{'texts seen':>12}"
          f"{'chance':>8}{'with 10':>9}")  # fmt: skip
    accuracy, dropped_share = 1.0, 1.0
    for balance in (False, True):
        build(settings(folder, balance), folder / "scenes", output)
        result = audit(lambda: read_items(str(output)))
        manifest = json.loads((output / "manifest.json").read_text())
        count = manifest["counts"]["hard_negatives"]
        dropped = manifest["dropped"].get("negatives.balanced_away", 0)
        dropped_share = dropped / (count + dropped)
        accuracy = max(result["accuracy"], result["accuracy_texts_seen"])
        full = result["eleven_way"]["accuracy"]
        print(f"{'after' if balance else 'before':10}{count:10}{dropped:9} {dropped_share:5.1%}"
              f"{result['accuracy']:10.3f}{result['accuracy_texts_seen']:12.3f}"
              f"{result['chance']:8.3f}{full:9.3f}")  # fmt: skip
    met = [
        verdict("PICKED BLIND AFTER BALANCING", accuracy, 0.14, False),
        verdict("BALANCED AWAY", dropped_share, 0.20, False),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
