"""Settings changed between two runs, and secrets: what the output tells, what it never holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from finehard.cli import main
from finehard.errors import UsageError
from tests.faults.world import Faulty, built, settings
from tests.pipelines.world import images, sums


def test_after_a_change_no_sample_is_left_of_before(tmp_path: Path, server: Faulty) -> None:
    source, output = images(tmp_path / "in", 12), tmp_path / "out"
    before = built(settings(server.url), source, output)
    first = len(server.answered())
    server.log.write_text("")
    after = built(settings(server.url, model={"revision": "v2"}), source, output)
    assert len(server.answered()) == first  # another revision: every question is another
    changed = {s for s in before["stages"] if before["stages"][s] != after["stages"][s]}
    assert changed == {"caption", "regions", "negatives", "verify"}
    for row in pq.read_table(output / "index.parquet").to_pylist():
        data = (output / "shards" / row["shard"]).read_bytes()
        sample = json.loads(data[row["json_offset"] :][: row["json_size"]])
        assert sample["provenance"] == after["stages"]
    server.log.write_text("")
    assert built(settings(server.url), source, output)["stages"] == before["stages"]
    assert server.answered() == []  # going back costs nothing


@pytest.mark.parametrize(
    ("section", "named", "redone"),
    [
        (
            {"model": {"revision": "v2"}},
            "models.llm.revision null -> v2, models.lmm.revision null -> v2",
            "caption, regions, negatives, verify would be done again, phrases, detect where",
        ),
        (
            {"detect": {"backend": "bench.fixed_detector:load", "score": 0.6}},
            "detect.score 0.4 -> 0.6",
            "no stage would be done again, regions, negatives, verify where their question",
        ),
        ({"shards": {"samples_per_shard": 3}}, "shards.samples_per_shard 20 -> 3", "no stage"),
    ],
)
def test_refuse_names_changed_settings_and_changes_nothing(
    tmp_path: Path, server: Faulty, section: dict[str, Any], named: str, redone: str
) -> None:
    source, output = images(tmp_path / "in", 4), tmp_path / "out"
    built(settings(server.url), source, output)
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    lock = output / "_journal" / "lock"
    server.log.write_text("")
    with pytest.raises(UsageError) as raised:
        built(settings(server.url, when_changed="refuse", **section), source, output)
    line = str(raised.value)
    assert f"other settings: {named};" in line and redone in line and "\n" not in line
    after = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    assert {p for p in before if before[p] != after.get(p)} <= {lock} and {*before} == {*after}
    assert server.answered() == []


def test_refuse_notices_a_changed_prompt_but_not_another_machine(
    tmp_path: Path, server: Faulty
) -> None:
    source, output = images(tmp_path / "in", 4), tmp_path / "out"
    prompt = tmp_path / "mine.md"
    text = "---\ntask: verify\n---\n{statements}, {count} answers, JSON."
    prompt.write_text(text)

    def run(path: Path, **model: Any) -> None:
        chosen = {"when_changed": "refuse", "verify": {"prompt": str(path)}, "model": model}
        built(settings(server.url, **chosen), source, output)

    run(prompt)
    first = sums(output)
    moved = prompt.rename(tmp_path / "moved.md")
    server.log.write_text("")
    run(moved, window=3, timeout_s=9.0, attempts=2)
    assert sums(output) == first and server.answered() == []
    (output / "manifest.json").unlink()  # as after a kill
    other = tmp_path / "other.md"
    other.write_text(text + " Please.")
    with pytest.raises(UsageError, match=r"verify.prompt .*other.md; verify would be done again"):
        run(other)


def test_refused_settings_are_exit_code_2(
    tmp_path: Path, server: Faulty, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output, file = images(tmp_path / "in", 4), tmp_path / "out", tmp_path / "c.yaml"
    built(settings(server.url), source, output)
    changed = settings(server.url, when_changed="refuse", caption={"max_tokens": 77})
    file.write_text(json.dumps(changed))
    given = ["build", "--config", str(file), "--input", str(source), "--output", str(output)]
    assert main(given) == 2
    assert "caption.max_tokens" in capsys.readouterr().err


def test_an_api_key_is_in_no_output_file_and_no_message(
    tmp_path: Path,
    server: Faulty,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TEST_KEY", "sk-swordfish")
    server.control(faults=0.3, kinds=["500", "schema", "400"])
    values = settings(server.url, model={"api_key_env": "TEST_KEY", "attempts": 3})
    built(values, images(tmp_path / "in", 12), tmp_path / "out")
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) > 8
    for path in files:
        assert b"swordfish" not in path.read_bytes()
    for path in files:
        if path.suffix == ".parquet":
            assert "swordfish" not in str(pq.read_table(path).to_pylist())
    printed = capfd.readouterr()
    assert "swordfish" not in printed.out + printed.err
