"""The dataset card: the Hub reads it, its snippets run, and no name breaks its Markdown."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard

from finehard.dataset.card import card
from tests.dataset.finished import dataset


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset with JPEG, PNG and WebP images."""
    return dataset(tmp_path_factory.mktemp("card"))


@pytest.fixture
def manifest(made: Path) -> dict[str, Any]:
    return json.loads((made / "manifest.json").read_text())


def _snippets(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def _run(code: str, folder: Path, cache: Path) -> list[str]:
    """The lines that `code` prints when run in `folder` without network."""
    known = {**os.environ, "HF_HOME": str(cache), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=known, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_hub_reads_the_front_matter(made: Path) -> None:
    loaded = DatasetCard.load(made / "README.md", ignore_metadata_errors=False)
    assert loaded.data.license == "unknown" and loaded.data.language == ["en"]
    assert "image-to-text" in loaded.data.task_categories
    assert {"webdataset", "hard-negatives"} <= set(loaded.data.tags)
    assert loaded.data.size_categories == ["n<1K"]
    [config] = loaded.data.configs
    assert config["data_files"] == [{"split": "train", "path": "shards/*.tar"}]
    assert loaded.text.lstrip().startswith("# finehard dataset")


@pytest.mark.parametrize(
    ("written", "size"), [(999, "n<1K"), (1_000, "1K<n<10K"), (10**8, "100M<n<1B")]
)
def test_the_size_category_is_valid(manifest: dict[str, Any], written: int, size: str) -> None:
    manifest["counts"]["written"] = written
    assert DatasetCard(card(manifest)).data.to_dict()["size_categories"] == [size]


def test_the_webdataset_snippet_runs(made: Path, tmp_path: Path) -> None:
    [snippet] = [s for s in _snippets((made / "README.md").read_text()) if "import webdataset" in s]
    assert len(_run(snippet, made, tmp_path)) == 1
    every = _run(snippet.replace("    break\n", ""), made, tmp_path)
    assert len(every) == 16 and all(re.fullmatch(r"[\w~]+ a red mug [012]", row) for row in every)


def test_the_datasets_snippet_runs_on_all_formats(made: Path, tmp_path: Path) -> None:
    [snippet] = [s for s in _snippets((made / "README.md").read_text()) if "load_dataset" in s]
    assert len(_run(snippet, made, tmp_path)) == 1
    every = _run(snippet.replace("    break\n", ""), made, tmp_path)
    assert len(every) == 16
    assert all(re.fullmatch(r"[\w~]+ \(40, 30\) a red mug", row) for row in every)


def test_the_card_names_every_shard(made: Path, manifest: dict[str, Any]) -> None:
    from braceexpand import braceexpand

    [pattern] = re.findall(r'WebDataset\("(.*?)"', (made / "README.md").read_text())
    shards = [f"shards/{shard['name']}" for shard in manifest["shards"]]
    assert list(braceexpand(pattern)) == shards
    assert sorted(f"shards/{p.name}" for p in made.glob("shards/*.tar")) == shards


@pytest.mark.parametrize(
    "name",
    ["/in/a`b``c", "`", "/in/x\n---\n# y", "/in/{{ 7*7 }}", "<script>alert(1)</script>", "a|b", ""],
)
def test_names_cannot_break_the_markdown(manifest: dict[str, Any], name: str) -> None:
    manifest["input"] = name
    manifest["stages"]["caption"].update(model=name, revision=None)
    text = card(manifest)
    assert DatasetCard(text).data.to_dict()["license"] == "unknown"
    plain = [line for line in text.splitlines() if line.startswith("# ")]
    assert plain == ["# finehard dataset"]
    [made_from] = [line for line in text.splitlines() if " from " in line and "Made by" in line]
    [row] = [line for line in text.splitlines() if line.startswith("| `caption` |")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 4
    shown = " ".join(name.split()).replace("|", "\\|")
    for line in (made_from.partition(" from ")[2], row.split(" | ", 1)[1]):
        span = re.match(r"(`+) ?(.*?) ?\1(?!`)", line)  # CommonMark's rule of code spans
        assert (span.group(2) if span else "") == shown


def test_rejects_are_mentioned_only_if_there_are_any(manifest: dict[str, Any]) -> None:
    assert "Rejected for: not_an_image (1), timeout (3)." in card(manifest)
    assert "Rejected for" not in card({**manifest, "rejects": {}})
