"""`finehard evaluate benchmark`, with a model of colours in the place of one that is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finehard.benchmarks import command
from finehard.benchmarks.declared import BENCHMARKS
from finehard.cli.main import main
from tests.benchmarks.colours import ColourModel, paint
from tests.benchmarks.layouts import LAYOUTS, npy, webdataset


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> ColourModel:
    made = ColourModel()
    monkeypatch.setattr(command, "load_model", lambda spec: made)
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("urban1k", "coco", "coco_boxes", "fgovd/hard"):
        LAYOUTS[name].write(tmp_path / "data" / BENCHMARKS[name].folder)
    return tmp_path / "data"


def _run(root: Path, *arguments: str) -> int:
    return main(["evaluate", "benchmark", "--model", "m", "--data", str(root), *arguments])


def test_table_has_ours_beside_the_published_figures(
    model: ColourModel, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(root, "--benchmark", "coco", "fgovd/hard", "urban1k") == 0
    printed = capsys.readouterr().out
    (row,) = [line for line in printed.splitlines() if line.startswith("FG-OVD, hard  ")]
    assert row.split()[3:] == [
        "66.7", "66.7-66.7", "100.0", "12.0", "9.2", "26.8", "24.9", "46.1", "52.3", "15.4",
        "48.4", "55.5",
    ]  # fmt: skip
    assert "deviates: a tie is wrong" in printed
    assert "4 images, where the published set has 1,000" in printed
    assert "https://arxiv.org/abs/2510.10921" in printed
    assert "colours: family: colours; boxes: the pixel in the middle" in printed


def test_all_measures_what_is_there_and_names_the_rest(
    model: ColourModel, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    webdataset(
        root / "wds_covidx",
        [("red", "cls", b"0"), ("blue", "cls", b"1")],
        classnames="red\nblue\n",
        zeroshot_classification_templates="a {c}\n",
    )
    assert _run(root, "--benchmark", "all", "--output", str(tmp_path / "out")) == 1
    printed = capsys.readouterr()
    last = "finehard: half_truths/urban1k: its files name no image\n"  # captions of one sentence
    assert printed.err.endswith(last)
    assert "not there: imagenet:" in printed.err and "not there: fgovd/easy:" in printed.err
    assert "covidx (CLIP_benchmark, classification)" in printed.out
    names = {f.relative_to(tmp_path / "out").as_posix() for f in (tmp_path / "out").rglob("*.json")}
    assert names == {
        "coco.json", "coco_all_captions.json", "coco_boxes.json", "urban1k.json",
        "fgovd/hard.json", "wds/covidx.json", "results.json",
    }  # fmt: skip


def test_a_finished_benchmark_is_not_run_again(
    model: ColourModel, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--output", str(tmp_path / "out"), "--benchmark"]
    assert _run(root, *arguments, "urban1k") == 0
    first, encoded = capsys.readouterr().out, model.images
    assert _run(root, *arguments, "urban1k") == 0
    assert capsys.readouterr().out == first and model.images == encoded
    assert _run(root, *arguments, "urban1k", "coco") == 0
    assert model.images == encoded + 4
    model.describe = lambda: {"family": "another"}  # type: ignore[method-assign]
    assert _run(root, *arguments, "urban1k") == 0
    assert model.images == encoded + 8
    (tmp_path / "out" / "urban1k.json").write_text('{"figures": []')
    assert _run(root, *arguments, "urban1k") == 0
    assert model.images == encoded + 12


def test_images_that_have_come_are_measured(
    model: ColourModel, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A finished benchmark that lacks images stays so only while none of them is there."""
    arguments = ["--output", str(tmp_path / "out"), "--benchmark", "urban1k"]
    kept = {n: (root / f"urban1k/image/{n}.jpg") for n in (2, 3)}
    data = {n: file.read_bytes() for n, file in kept.items()}
    kept[2].unlink()
    kept[3].write_bytes(b"no image")
    assert _run(root, *arguments) == 0 and model.images == 2
    assert _run(root, *arguments) == 0 and model.images == 2
    kept[2].write_bytes(data[2])
    assert _run(root, *arguments) == 0 and model.images == 5
    assert "1 of 4 images are missing" in capsys.readouterr().out.splitlines()[-3]


def test_texts_cut_to_the_models_length_are_counted(
    model: ColourModel, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model._limit = 12
    assert _run(root, "--benchmark", "urban1k", "fgovd/hard") == 0
    printed = capsys.readouterr().out
    assert printed.count("texts are cut") == 2  # "A green thing", "A blue thing again"
    assert "deviates: 2 long texts are cut to the model's length" in printed


def test_tables_in_markdown_latex_and_json(
    model: ColourModel, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for form in ("markdown", "latex", "json"):
        assert _run(root, "--benchmark", "coco_boxes", "--output", str(out), "--format", form) == 0
        printed = capsys.readouterr().out
        file = {"markdown": "table.md", "latex": "table.tex", "json": "results.json"}[form]
        assert printed.rstrip("\n") == (out / file).read_text()
    (result,) = json.loads(printed)
    assert result["figures"][0]["name"] == "top1" and result["model"]["name"] == "colours"
    assert result["protocol"].startswith("FG-CLIP: all annotations")
    markdown = (out / "table.md").read_text().splitlines()
    assert markdown[0].startswith(
        "| benchmark | figure | colours | 95 % | as published | CLIP B/16"
    )
    assert {line.count("|") for line in markdown[:3]} == {markdown[0].count("|")}
    latex = (out / "table.tex").read_text()
    assert r"\begin{tabular}{ll" in latex and r"95 \%" in latex and r"\end{tabular}" in latex


def test_strict_fails_naming_the_missing_images(
    model: ColourModel, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "urban1k/image/2.jpg").unlink()
    arguments = ["--benchmark", "urban1k", "--output", str(tmp_path / "out")]
    assert _run(root, *arguments) == 0
    assert "missing: 2.jpg (no such file)" in capsys.readouterr().out
    assert _run(root, *arguments, "--strict") == 1
    assert (
        capsys.readouterr().err
        == "finehard: urban1k: 1 of 4 images are missing: 2.jpg (--strict)\n"
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--benchmark", "nonsense"], "'nonsense' is not one of flickr30k, "),
        (["--benchmark", "own:missing"], "cannot import own"),
        (["--benchmark", "json:loads"], "json:loads is no finehard.benchmarks.Benchmark"),
        (["--benchmark", "docci"], "docci_descriptions.jsonlines: no such file"),
        (["--benchmark", "sugarcrepe"], "none of the benchmarks is below"),
        (["--benchmark", "wds/nothing"], "no webdataset nothing"),
        ([], "--model, --benchmark and --data are needed"),
        (["--benchmark", "coco", "--batch-size", "0"], "--batch-size must be at least 1"),
        (["--benchmark", "coco", "--data", "/nowhere"], "/nowhere is not a folder"),
    ],
)
def test_bad_arguments_are_one_line(
    model: ColourModel, root: Path, capsys: pytest.CaptureFixture[str],
    arguments: list[str], line: str,
) -> None:  # fmt: skip
    assert _run(root, *arguments) in (1, 2)
    printed = capsys.readouterr().err.splitlines()
    assert line in printed[-1] and printed[-1].startswith("finehard: ")
    assert all(one.startswith("not there: ") for one in printed[:-1])


def test_list_names_benchmarks_and_folders(
    model: ColourModel, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    webdataset(root / "voc", [("red", "npy", npy(1))], dataset_type="multilabel")
    assert main(["evaluate", "benchmark", "--list", "--data", str(root)]) == 0
    printed = capsys.readouterr().out
    assert "fgovd/hard" in printed and printed.endswith("wds/voc\n")


OWN = """
from finehard.benchmarks.benchmark import Benchmark
from finehard.benchmarks.measures import Retrieval
from finehard.benchmarks.readers.pairs import numbered

ours = Benchmark("ours", "Ours", "ours", numbered("pictures", "texts"), Retrieval("short"),
                 "ours: one caption an image")
"""


def test_a_benchmark_of_ones_own_by_module_attribute(
    model: ColourModel, root: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_benchmarks.py").write_text(OWN)
    paint(root / "ours/pictures/1.jpg", "red")
    (root / "ours/texts").mkdir()
    (root / "ours/texts/1.txt").write_text("a red thing")
    assert _run(root, "--benchmark", "my_benchmarks:ours") == 0
    assert "Ours: ours: one caption an image; 1 images" in capsys.readouterr().out
