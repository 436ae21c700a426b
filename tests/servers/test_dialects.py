"""Whole builds against strict servers of every dialect: no record is lost to a dialect."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from bench.inputs import write_tars
from tests.pictures import jpg
from tests.pipelines.world import build, config, manifest
from tests.servers.dialects import DIALECTS, MARKED, OPENAI, TEXT_ONLY, VLLM
from tests.servers.server import Dialect, StrictServer

KEY = "STRICT_SERVERS_KEY"
ACCEPTING = {"openai", "anthropic", "ollama", "lmstudio", "no-models-path", "transformers-serve"}
"""The dialects that refuse nothing of what is asked first."""

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "sk-strict")


def model(server: StrictServer) -> dict[str, Any]:
    """The config of a model on `server`."""
    chosen = {"model": server.dialect.model, "endpoints": [server.url], "window": 8, "attempts": 6,
              "timeout_s": 20, "outage_s": 20}  # fmt: skip
    return {**chosen, "api_key_env": KEY} if server.dialect.key else chosen


def settings(folder: Path, lmm: StrictServer, llm: StrictServer) -> Path:
    """A config of a build on the two servers."""
    return config(folder, lmm.url, models={"lmm": model(lmm), "llm": model(llm)},
                  phrases={"backend": "wordnet"})  # fmt: skip


def source(folder: Path) -> Path:
    """Eight pictures, one of them as Azure's content filter refuses it."""
    write_tars(folder, 7, 96, 64)
    picture = folder / "marked.jpg"
    picture.write_bytes(jpg(8, *MARKED))
    with tarfile.open(folder / "marked.tar", "w") as tar:
        tar.add(picture, "marked.jpg")
    picture.unlink()
    return folder


def rejects(output: Path) -> list[dict[str, Any]]:
    """The rejects of a dataset."""
    return [row for f in sorted(output.glob("rejected/*")) for row in pq.read_table(f).to_pylist()]


def check(output: Path, rejected: int = 0) -> dict[str, Any]:
    """The counts of a dataset, which must have lost nothing else."""
    told = manifest(output)
    counts = told["counts"]
    assert counts["read"] == 8 == counts["written"] + counts["rejected"]
    assert counts["rejected"] == rejected, rejects(output)
    assert counts["regions"] > 5 * counts["written"] and counts["hard_negatives"]
    return told


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_build_meets_the_dialect(tmp_path: Path, dialect: Dialect) -> None:
    with StrictServer(dialect) as server:
        done = build(settings(tmp_path, server, server), source(tmp_path / "in"), tmp_path / "out")
        refused = server.refused
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nlast refusal: {refused[-1:]}"
    filtered = dialect.name == "azure"
    check(tmp_path / "out", rejected=int(filtered))
    if filtered:
        [reject] = rejects(tmp_path / "out")
        assert reject["key"] == "marked" and "content management policy" in reject["detail"]
    assert bool(refused) == (dialect.name not in ACCEPTING), "is this server strict?"


def test_no_picture_is_sent_to_a_model_of_text(tmp_path: Path) -> None:
    with StrictServer(VLLM) as lmm, StrictServer(TEXT_ONLY) as llm:
        done = build(settings(tmp_path, lmm, llm), source(tmp_path / "in"), tmp_path / "out")
        assert done.returncode == 0, done.stdout + done.stderr
        assert llm.stages["negatives"] >= 8 and not llm.refused
        assert not any(asked.images for asked in llm.asked)
    check(tmp_path / "out")


def test_a_wrong_key_is_one_line_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "sk-wrong")
    with StrictServer(OPENAI) as server:
        done = build(settings(tmp_path, server, server), source(tmp_path / "in"), tmp_path / "out")
        assert not server.asked
    assert done.returncode == 1
    [line] = re.findall(r"^finehard: .*$", done.stderr, re.MULTILINE)
    assert KEY in line and "sk-wrong" not in done.stderr + done.stdout
