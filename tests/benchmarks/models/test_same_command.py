"""Every family of models is measured by the same command, on each of the four readers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finehard.benchmarks.declared import BENCHMARKS
from finehard.cli.main import main
from tests.benchmarks.layouts import LAYOUTS, webdataset

NAMES = ("urban1k", "coco", "coco_boxes", "fgovd/hard", "sugarcrepe/swap_att")


@pytest.mark.parametrize(
    ("folder", "family"),
    [
        ("fgclip_folder", "FG-CLIP"),
        ("clip_folder", "CLIP"),
        ("siglip2_folder", "SigLIP 2"),
        ("open_clip_folder", "open_clip"),
    ],
)
def test_a_family_is_measured_on_each_reader(
    folder: str, family: str, tmp_path: Path,
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = str(request.getfixturevalue(folder))
    spec = f"open_clip:local-dir:{path}" if family == "open_clip" else path
    for name in NAMES:
        LAYOUTS[name].write(tmp_path / BENCHMARKS[name].folder)
    webdataset(tmp_path / "set", [("red", "cls", b"0"), ("blue", "cls", b"1")],
               classnames="red\nblue\n", zeroshot_classification_templates="a {c}\n")  # fmt: skip
    arguments = ["--model", spec, "--data", str(tmp_path), "--format", "json", "--benchmark"]
    assert main(["evaluate", "benchmark", *arguments, *NAMES, "wds/set"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert [one["benchmark"] for one in results] == [*NAMES, "wds/set"]
    assert {one["model"]["family"] for one in results} == {family}
    for one in results:
        assert one["images"] == one["expected"]
        assert all(0 <= f["low"] <= f["value"] <= f["high"] <= 1 for f in one["figures"])
