"""docs/adding-a-stage.md, followed literally: a user's own stage, no file of finehard touched."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.pipelines.world import ROOT, Server, config, images, manifest

PAGE = (ROOT / "docs" / "adding-a-stage.md").read_text("utf-8")

pytestmark = pytest.mark.slow


def _write_files(folder: Path) -> None:
    """Writes each file of the page's first section: its name in backquotes, then its text."""
    blocks = re.findall(r"^`([\w.]+)`, [^\n]*\n\n```\w*\n(.*?)^```$", PAGE, re.M | re.S)
    assert [name for name, _ in blocks][:4] == [
        "sharpness.py", "sharpness.md", "sharpness.schema.json", "my_pipeline.py"
    ]  # fmt: skip
    for name, text in blocks[:4]:
        (folder / name).write_text(text)


def _finehard(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "finehard.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("beam", [(), ("--direct_num_workers=2",)], ids=["one", "two"])
def test_a_stage_from_the_page_is_part_of_the_build(
    tmp_path: Path, server: Server, beam: tuple[str, ...]
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    _write_files(mine)
    [settings] = re.findall(r"```yaml\n(stages:\n.*?)```", PAGE, re.S)
    assert "least: 2" in settings
    source, output = images(tmp_path / "in", 20), tmp_path / "out"
    chosen = config(tmp_path, server.url, stages={"sharpness": {"least": 2}})
    both = ("--pipeline", mine / "my_pipeline.py", "--config", chosen, "--input", source)

    planned = _finehard("plan", *both, "--json", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    first = json.loads(planned.stdout)["stages"][0]
    assert (first["stage"], first["requests"]) == ("sharpness", 20)

    done = _finehard("build", *both, "--output", output, *(("--", *beam) if beam else ()),
                     cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    written = manifest(output)
    assert written["pipeline"][0] == "sharpness"
    assert written["stages"]["sharpness"]["model"] == "simulated"
    assert written["usage"]["sharpness"]["requests"] == 20
    assert written["config"]["stages"] == {"sharpness": {"least": 2}}
    assert written["rejects"].keys() == {"blurred"}
    assert written["counts"]["written"] + written["rejects"]["blurred"] == 20
    scores = set()
    for shard in (output / "shards").glob("*.tar"):
        with tarfile.open(shard) as tar:
            for member in tar:
                if member.name.endswith(".json"):
                    sample = json.loads(tar.extractfile(member).read())  # type: ignore[union-attr]
                    scores.add(sample["extra"]["sharpness"]["score"])
                    assert sample["schema_version"] == "1.1"
    assert scores and min(scores) >= 2
    saved = json.loads((output / "_journal" / "settings.json").read_text())
    assert "sharpness" in saved["stages"]
    assert "sharpness" in (output / "report.html").read_text()
    valid = _finehard("validate", output, cwd=tmp_path)
    assert valid.returncode == 0, valid.stdout + valid.stderr

    asked = len(server.answered())
    again = _finehard("build", *both, "--output", output, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert len(server.answered()) == asked


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("sharpness.py", "[value] = values", "1 / 0"),
         "stage sharpness failed on"),
        (("sharpness.py", '"blurred", f"', '"unheard_of", f"'),
         "unknown reject reason 'unheard_of'"),
        (("sharpness.py", '{"score": value["score"]}', "{1, 2}"),
         "Type is not JSON serializable: set"),
        (("sharpness.schema.json", '"type": "object"', '"type": "nonsense"'),
         "schema 'sharpness'"),
        (("sharpness.md", "task: sharpness", "task: other"),
         "its first lines must be"),
        (("my_pipeline.py", "STAGES = (Sharpness, ", "STAGES = (Sharpness, Sharpness, "),
         "two stages named 'sharpness'"),
        (("my_pipeline.py", "def my_pipeline", "def other"),
         "there is no function my_pipeline"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_stage_is_one_line(
    tmp_path: Path, server: Server, change: tuple[str, str, str], message: str
) -> None:
    _write_files(tmp_path)
    name, old, new = change
    text = (tmp_path / name).read_text()
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new))
    chosen = config(tmp_path, server.url, stages={"sharpness": {"least": 5}})
    done = _finehard("build", "--pipeline", tmp_path / "my_pipeline.py", "--config", chosen,
                     "--input", images(tmp_path / "in", 8), "--output", tmp_path / "out",
                     cwd=tmp_path)  # fmt: skip
    assert done.returncode in (1, 2)
    [line] = [line for line in done.stderr.splitlines() if line.startswith("finehard: ")]
    assert message in line and "Traceback" not in done.stderr


def test_an_unknown_section_of_stages_is_refused(tmp_path: Path, server: Server) -> None:
    chosen = config(tmp_path, server.url, stages={"sharpnes": {}})
    done = _finehard("plan", "--config", chosen, "--input", images(tmp_path / "in", 2),
                     cwd=tmp_path)  # fmt: skip
    assert done.returncode == 2
    assert "stages.sharpnes: the pipeline has no such stage" in done.stderr
