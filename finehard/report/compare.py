"""Two datasets side by side: counts, drops by rule, distributions, and texts of the same keys."""

from __future__ import annotations

from typing import Any

from finehard.dataset.reader import Dataset, open_dataset

_COLUMNS = ("width", "height", "regions", "hard_negatives", "long_words", "short_words")
_EXAMPLES = 5


def compare(first: str, second: str) -> dict[str, Any]:
    """Returns what differs between two finished datasets, JSON-ready.

    `counts`, `rejects` and `dropped` map a name to the numbers in both; `means` a column of the
    index to its means; `keys` counts those in both and in one only, and in how many samples of both
    the JSON differs; `texts` holds the first of these. The keys of one shard of `first` are in
    memory, and of `second` those of the shards that they are in. Raises `UsageError` for a folder
    that holds no finished dataset.
    """
    one, other = open_dataset(first), open_dataset(second)
    found: dict[str, Any] = {"datasets": [one.uri, other.uri]}
    for section in ("counts", "rejects", "dropped"):
        found[section] = _both(one.manifest[section], other.manifest[section])
    found["means"] = _both(_means(one), _means(other))
    return {**found, **_of_keys(one, other)}


def _both(one: dict[str, Any], other: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: [one.get(name, 0), other.get(name, 0)] for name in one | other}


def _means(dataset: Dataset) -> dict[str, float]:
    totals, rows = dict.fromkeys(_COLUMNS, 0), 0
    for batch in dataset.rows(list(_COLUMNS)):
        rows += batch.num_rows
        for name in _COLUMNS:
            totals[name] += batch.column(name).to_numpy().sum()
    return {name: round(float(total) / max(rows, 1), 3) for name, total in totals.items()}


def _of_keys(one: Dataset, other: Dataset) -> dict[str, Any]:
    both = differing = 0
    texts: list[dict[str, Any]] = []
    total, total_other = len(one), len(other)
    for sample in one:
        match = _find(other, sample.key)
        if match is None:
            continue
        both += 1
        left, right = _texts(sample.json), _texts(match.json)
        if left != right:
            differing += 1
            if len(texts) < _EXAMPLES:
                changed = {n: [left.get(n), right.get(n)] for n in left | right
                           if left.get(n) != right.get(n)}  # fmt: skip
                texts.append({"key": sample.key, "texts": changed})
    keys = {"both": both, "first_only": total - both, "second_only": total_other - both,
            "other_texts": differing}  # fmt: skip
    return {"keys": keys, "texts": texts}


def _find(dataset: Dataset, key: str) -> Any:
    try:
        return dataset[key]
    except KeyError:
        return None


def _texts(sample: dict[str, Any]) -> dict[str, str]:
    """The texts of a sample by where they stand."""
    found = {name: sample[name] for name in ("short_caption", "long_caption")}
    for number, region in enumerate(sample["regions"]):
        found[f"region {number}"] = f"{region['short_expr']} | {region['long_expr']}"
        negatives = (negative["text"] for negative in region["hard_negatives"])
        found[f"negatives of region {number}"] = " | ".join(negatives)
    return found


def comparison_table(found: dict[str, Any]) -> str:
    """Returns what `compare` found as lines of text; of equal numbers none."""
    lines = [f"{'':44} {'first':>12} {'second':>12} {'difference':>12}"]
    for section in ("counts", "rejects", "dropped", "means"):
        for name, (left, right) in found[section].items():
            if left != right or section == "counts":
                title = f"{section}: {name}"[:44]
                lines.append(f"{title:44} {left:>12,} {right:>12,} {round(right - left, 3):>+12,}")
    keys = found["keys"]
    lines += ["", f"{keys['both']:,} keys are in both, {keys['first_only']:,} in the first only, "
              f"{keys['second_only']:,} in the second only; "
              f"{keys['other_texts']:,} of those in both have other texts"]  # fmt: skip
    for each in found["texts"]:
        lines += ["", each["key"]]
        for name, (left, right) in each["texts"].items():
            lines += [f"  {name}", f"    - {left}", f"    + {right}"]
    return "\n".join(lines)
