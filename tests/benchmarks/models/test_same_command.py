"""Every family of models is measured by the same command, on each of the four readers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finehard.benchmarks.declared import BENCHMARKS
from finehard.cli.main import main
from tests.benchmarks.layouts import LAYOUTS, webdataset

NAMES = ("urban1k", "coco", "coco_boxes", "fgovd/hard", "sugarcrepe/swap_att")
CHINESE = ("chinese/coco_cn", "chinese/dci_cn", "chinese/box_class_cn")


@pytest.mark.parametrize(
    ("folder", "family"),
    [
        ("fgclip_folder", "FG-CLIP"),
        ("fgclip2_folder", "FG-CLIP 2"),
        ("published_fgclip2_folder", "FG-CLIP 2"),
        ("clip_folder", "CLIP"),
        ("siglip_folder", "SigLIP"),
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


@pytest.mark.parametrize(
    ("folder", "spelled"), [("published_fgclip2_folder", False), ("clip_folder", True)]
)
def test_chinese_sets_say_where_a_tokenizer_lacks_words(
    folder: str, spelled: bool, tmp_path: Path,
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name in CHINESE:
        LAYOUTS[name].write(tmp_path / BENCHMARKS[name].folder)
    arguments = ["--model", str(request.getfixturevalue(folder)), "--data", str(tmp_path)]
    arguments += ["--format", "json", "--benchmark", *CHINESE]
    assert main(["evaluate", "benchmark", *arguments]) == 0
    for result in json.loads(capsys.readouterr().out):
        said = [line for line in result["deviations"] if "tokenizer does not have" in line]
        assert len(said) == spelled, result


def test_published_code_of_another_model_is_never_run(
    published_fgclip2_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """FG-CLIP 2 as published brings modelling code, for which transformers would ask."""
    config = (published_fgclip2_folder / "config.json").read_text()
    assert '"auto_map"' in config
    (tmp_path / "config.json").write_text(config)
    arguments = ["--model", str(tmp_path), "--data", str(tmp_path), "--benchmark", "coco"]
    assert main(["evaluate", "benchmark", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("finehard: ") and error.count("\n") == 1
