"""docs/adding-a-stage.md, followed literally: a user's own source format, beside the config."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from finehard import open_dataset
from tests.pictures import jpg
from tests.pipelines.world import ROOT, Server, build, config, manifest

PAGE = (ROOT / "docs" / "adding-a-stage.md").read_text("utf-8")
SECTION = PAGE.partition("\n## A source format\n")[2].partition("\n## ")[0]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("workers", [1, 2])
def test_a_format_from_the_page_is_read(tmp_path: Path, server: Server, workers: int) -> None:
    [name] = re.findall(r"`(\w+\.py)`, beside the config", SECTION)
    [code] = re.findall(r"^```python\n(.*?)^```$", SECTION, re.M | re.S)
    [section] = re.findall(r"^```yaml\n(.*?)^```$", SECTION, re.M | re.S)
    (tmp_path / name).write_text(code)
    source = tmp_path / "in"
    source.mkdir()
    rows = []
    for number in range(6):
        image = tmp_path / f"{number}.jpg"
        image.write_bytes(jpg(seed=number))
        rows.append({"id": f"n{number}", "image": str(image), "text": f"text {number}"})
    (source / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    chosen = config(tmp_path, server.url, **yaml.safe_load(section))
    beam = (f"--direct_num_workers={workers}",) if workers > 1 else ()
    done = build(chosen, source, tmp_path / "out", *beam)
    assert done.returncode == 0, done.stderr
    assert manifest(tmp_path / "out")["counts"]["written"] == 6
    texts = {sample.key: sample.json["alt_text"] for sample in open_dataset(tmp_path / "out")}
    assert texts == {f"n{number}": f"text {number}" for number in range(6)}
