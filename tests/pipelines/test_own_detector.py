"""docs/adding-a-stage.md, followed literally: a user's own detector in a file beside the config."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from tests.pipelines.world import ROOT, Server, build, config, images, manifest

PAGE = (ROOT / "docs" / "adding-a-stage.md").read_text("utf-8").partition("\n## A detector\n")[2]

pytestmark = pytest.mark.slow


def _write_detector(folder: Path) -> dict[str, Any]:
    """Writes the section's file into `folder`; returns the section's config."""
    [(name, code)] = re.findall(r"^`([\w.]+)`, [^\n]*\n\n```python\n(.*?)^```$", PAGE, re.M | re.S)
    [section] = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.M | re.S)
    (folder / name).write_text(code)
    return yaml.safe_load(section)


def _regions(dataset: Path) -> list[dict[str, Any]]:
    regions = []
    for shard in (dataset / "shards").glob("*.tar"):
        with tarfile.open(shard) as tar:
            for member in tar:
                if member.name.endswith(".json"):
                    regions += orjson.loads(tar.extractfile(member).read())["regions"]  # type: ignore[union-attr]
    return regions


@pytest.mark.parametrize("workers", [1, 2])
def test_a_detector_from_the_page_is_used(tmp_path: Path, server: Server, workers: int) -> None:
    chosen = config(tmp_path, server.url, **_write_detector(tmp_path))
    beam = (f"--direct_num_workers={workers}",) if workers > 1 else ()
    done = build(chosen, images(tmp_path / "in", 8), tmp_path / "out", *beam)
    assert done.returncode == 0, done.stderr
    assert manifest(tmp_path / "out")["counts"]["written"] == 8
    regions = _regions(tmp_path / "out")
    assert regions
    assert {(r["box"][1], r["box"][3], r["score"]) for r in regions} == {(0.25, 0.75, 0.9)}


def test_a_detector_that_cannot_load_is_one_line(tmp_path: Path, server: Server) -> None:
    section = _write_detector(tmp_path)
    file = tmp_path / "my_detector.py"
    file.write_text(file.read_text().replace("return Columns()", "return missing()"))
    chosen = config(tmp_path, server.url, **section)
    done = build(chosen, images(tmp_path / "in", 8), tmp_path / "out")
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if line.startswith("finehard: ")]
    assert "detect.backend: my_detector:load failed: NameError" in line
    assert "Traceback" not in done.stderr
    captions = [stage for _, stage, _ in server.answered() if stage == "caption"]
    assert len(captions) == 1  # the sample before the build, and no image's
