"""`finehard show` prints one sample, `finehard stats` the statistics of all."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageColor

from finehard.cli import main
from finehard.digest import digest
from finehard.phrases import PhrasesConfig, identity
from finehard.records import one_line
from finehard.report.pictures import COLORS
from tests.report.made import BOXES, HOSTILE, hostile_dataset


def test_show_prints_the_texts_and_draws_every_box(
    hostile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "seen.png"
    assert main(["show", str(hostile), "k3", "--output", str(picture)]) == 0
    printed = capsys.readouterr().out
    words = " ".join(printed.split())
    for start in ("url: ", "license: ", "alt_text: ", "short_caption: ", "long_caption: A red mug"):
        assert start in words
    assert words.count(one_line(HOSTILE)) >= 5
    for number, box in enumerate(BOXES, 1):
        assert f"{number} <script>alert(1)" in words
        assert f"box {' '.join(f'{side:.3f}' for side in box)}" in words
    assert "other (color, not confirmed)" in words and "third (material)" in words
    assert f"picture: {picture}" in words
    assert not set("\x1b\u202e\u202c\u200f") & set(printed)  # a terminal obeys none of them
    with Image.open(picture) as image:
        assert image.format == "PNG" and image.size == (640, 480)
        for number, (x1, y1, x2, y2) in enumerate(BOXES):
            row = int((y1 + 0.8 * (y2 - y1)) * 480)
            for column in (int(x1 * 640) + 1, int(x2 * 640) - 1):
                at = image.convert("RGB").getpixel((column, row))
                assert at == ImageColor.getrgb(COLORS[number]), (number, column)


def test_the_default_output_is_the_key_in_this_folder(
    hostile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["show", str(hostile), "k0"]) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["k0.png"]


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("k33", "has no sample k33; did you mean k3?"),
        ("../../etc/passwd", "index.parquet lists the keys"),
        ("late", "late was rejected at caption for timeout: <script>alert(1)"),
    ],
)
def test_an_unknown_key_is_one_line_and_exit_2(
    hostile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, says: str
) -> None:
    assert main(["show", str(hostile), key, "--output", str(tmp_path / "x.png")]) == 2
    out, err = capsys.readouterr()
    [line] = err.splitlines()
    assert line.startswith("finehard: ") and says in line and out == ""
    assert not (tmp_path / "x.png").exists()


def test_stats_json_agrees_with_manifest_and_index(
    hostile: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stats", str(hostile), "--json"]) == 0
    stats = json.loads(capsys.readouterr().out)
    manifest = json.loads((hostile / "manifest.json").read_text())
    for name in ("counts", "rejects", "dropped", "usage"):
        assert stats[name] == manifest[name]
    counts = manifest["counts"]
    images, boxes = stats["funnel"]["images"], stats["funnel"]["boxes"]
    assert (images[0]["left"], images[-1]["left"]) == (counts["read"], counts["written"])
    assert sum(n for step in images for n in step["lost"].values()) == counts["rejected"]
    assert boxes[-1]["left"] == counts["regions"]
    rows = pq.read_table(hostile / "index.parquet").to_pylist()
    for name, summary in stats["indexed"].items():
        values = sorted(row[name] for row in rows)
        assert summary["count"] == counts["written"] == len(values)
        assert summary["mean"] == round(sum(values) / len(values), 2)
        assert (summary["p50"], summary["max"]) == (values[(len(values) - 1) // 2], values[-1])
    summary = stats["sampled"]
    assert (summary["samples"], summary["regions"]) == (counts["written"], counts["regions"])
    assert summary["attributes"] == {"color": 7, "material": 7}
    assert summary["regions_verified"] == {"confirmed": 4, "not confirmed": 2, "not asked": 1}
    assert summary["negatives_verified"] == {"not asked": 7, "confirmed": 5, "not confirmed": 2}
    assert summary["score_hundredths"]["p50"] == 50
    assert summary["nouns"]["mug"] == counts["written"]
    assert stats["funnel"]["expressions"] == [] and stats["caption_tokens"] is None


def test_stats_have_expressions_and_tokens_if_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = hostile_dataset(tmp_path, "a tale")
    manifest = json.loads((made / "manifest.json").read_text())
    config = PhrasesConfig(**manifest["config"]["phrases"])
    manifest["stages"]["phrases"] = {"fingerprint": digest(identity(config))}
    (made / "manifest.json").write_text(json.dumps(manifest))
    journal = made / "_journal/caption/f"
    journal.mkdir(parents=True)
    table = {"requests": [1, 1], "completion_tokens": [40, 50]}
    pq.write_table(pa.table(table), journal / "part-a.parquet")
    assert main(["stats", str(made), "--json"]) == 0
    stats = json.loads(capsys.readouterr().out)
    asked = stats["funnel"]["expressions"][1]
    assert asked["name"] == "asked of the detector" and asked["left"] >= 6
    assert (stats["caption_tokens"]["count"], stats["caption_tokens"]["max"]) == (2, 50)
    assert main(["stats", str(made)]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "asked of the detector" in words and "caption reply, tokens 45.0" in words


def test_stats_are_printed_as_tables(hostile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stats", str(hostile)]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "inputs found 9" in words and "written 6" in words
    assert "caption 6 60 30" in words and "attributes (6 drawn): color 7, material 7" in words


@pytest.mark.parametrize("command", [["stats"], ["show"]])
def test_a_missing_dataset_is_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    key = ["k"] if command == ["show"] else []
    assert main([*command, str(tmp_path / "nowhere"), *key]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "does not exist" in line
