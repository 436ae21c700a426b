"""The release joined with images in every form: what is written, what is rejected, what is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from finehard.cli import main
from finehard.dataset.reader import open_dataset
from finehard.dataset.validate import validate
from finehard.errors import FinehardError, UsageError
from finehard.export.export import export
from finehard.release.importing import Imported, ReleaseConfig, import_release
from tests.pictures import jpg
from tests.release import made
from tests.release.made import item, path_of, region, release

FORMS = {
    "tar": made.as_tar,
    "files": made.as_files,
    "files with a list": lambda folder, images: made.as_files(folder, images, True),
    "parquet": made.as_parquet,
    "published": made.as_published,
    "published, older form": lambda folder, images: made.as_published(folder, images, True),
}


def _imported(folder: Path, items: list[Any], images: list[int], **changes: Any) -> Imported:
    source = release(folder / "release", items)
    pictures = made.as_tar(folder / "images", images)
    config = ReleaseConfig(**changes)
    return import_release(str(source), str(pictures), str(folder / "out"), config, 1)


def _samples(folder: Path) -> dict[str, dict[str, Any]]:
    return {s.json["extra"]["release"]["f_path"]: s.json for s in open_dataset(folder / "out")}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("old", [False, True])
def test_images_in_every_form_find_their_items(form: str, old: bool, tmp_path: Path) -> None:
    items = [item(n, region(), old=old) for n in range(20)]
    source = release(tmp_path / "release", items)
    write: Callable[[Path, list[int]], Path] = FORMS[form]
    pictures = write(tmp_path / "images", [3, 4, 8, 11, 150])
    out = import_release(str(source), str(pictures), str(tmp_path / "out"), workers=1)
    assert out.manifest["counts"]["read"] == 20 and out.manifest["rejects"] == {"missing_image": 16}
    assert out.subsets == {
        "coyo_image_0": {"items": 10, "missing_image": 8, "written": 2},
        "coyo_image_1": {"items": 10, "missing_image": 8, "written": 2},
    }
    assert validate(str(tmp_path / "out")) == []
    samples = _samples(tmp_path)
    assert set(samples) == {path_of(n, old) for n in (3, 4, 8, 11)}
    for sample in open_dataset(tmp_path / "out"):
        number = int(sample.key[-5:])
        assert sample.image_bytes == jpg(number)
        url = None if form.startswith("published") else made.url_of(number)
        assert sample.json["image"]["url"] == url


def test_both_forms_of_a_path_give_the_same_key(tmp_path: Path) -> None:
    items = [item(3, region()), item(3, region(), old=True)]
    out = _imported(tmp_path, items, [3])
    assert out.manifest["counts"]["renamed_keys"] == 1
    keys = [sample.key for sample in open_dataset(tmp_path / "out")]
    assert keys == ["coyo_1_00069_00003", "coyo_1_00069_00003~2"]


def test_what_was_kept_is_exported_as_it_was(tmp_path: Path) -> None:
    odd = region(bbox=[0, 0.25, 1, 0.5], short_expr_negs={
        f"short_expr_neg_{n}": f"a {color} mug" for n, color in enumerate(made.COLORS)
    })  # fmt: skip
    none = region(flag_short_neg=0, short_expr_negs={})
    items = [item(n, region(), odd, none, region(), region(), old=n % 3 == 0) for n in range(30)]
    items += [item(31, region()), item(32), item(33, odd, odd)]
    images = [*range(0, 30, 2), 31, 32, 33]
    _imported(tmp_path, items, images)
    export(str(tmp_path / "out"), str(tmp_path / "again"), "release")
    again = [found for file in (tmp_path / "again/jsonfiles").iterdir()
             for found in json.loads(file.read_text("utf-8"))]  # fmt: skip
    expected = {i["f_path"]: i for i in items if int(i["f_path"][-8:-4]) in images}
    assert {i["f_path"]: i for i in again} == expected
    for path in expected:
        assert (tmp_path / "again" / path).read_bytes() == jpg(int(path[-8:-4]))


DEFECTS = [
    (region(short_expr="a larger that appears to have", short_expr_negs={}), "short_expr."),
    (region(short_expr="a couple of pillows with one of them", short_expr_negs={}),
     "short_expr.unfinished_text"),
    (region(short_expr="a high vantage point looking downwards", short_expr_negs={}),
     "short_expr.ungroundable"),
    (region(long_expr="The description is factual and does not include any subjective "
            "interpretations."), "long_expr.boilerplate_text"),
    (region(bbox=[0.5, 0.1, 0.2, 0.4]), "bad_box"),
    (region(bbox=[0.5, 0.1, float("nan"), 0.4]), "bad_box"),
    (region(bbox=["0.5", 0.1, 0.7, 0.4]), "bad_box"),
    (region(short_expr=None), "region_without_text"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(DEFECTS)))
@pytest.mark.parametrize("defects", ["drop", "mark"])
def test_defects_of_regions_are_counted(number: int, defects: Any, tmp_path: Path) -> None:
    wrong, rule = DEFECTS[number]
    out = _imported(tmp_path, [item(3, region(), wrong)], [3], defects=defects)
    [(name, found)] = out.manifest["dropped"].items()
    assert found == 1 and rule in name
    [sample] = _samples(tmp_path).values()
    marked = defects == "mark" and "bad_box" not in rule and "without" not in rule
    assert [r["verified"] for r in sample["regions"]] == [None, False][: 1 + marked]
    assert name.startswith("release.marked.") == marked
    assert validate(str(tmp_path / "out")) == []


def test_negatives_that_fill_up_or_break_rules_go(tmp_path: Path) -> None:
    texts = ["a blue mug", "a blue mug", "a red mug", "a red cup", "a crimson mug", "", 7]
    negatives = {str(n): text for n, text in enumerate(texts)}
    for defects in ("drop", "mark"):
        folder = tmp_path / defects
        out = _imported(folder, [item(3, region(short_expr_negs=negatives))], [3],
                        defects=defects)  # fmt: skip
        prefix = "release.marked." if defects == "mark" else "release."
        found = {name.removeprefix(f"{prefix}negatives."): number
                 for name, number in out.manifest["dropped"].items()}  # fmt: skip
        assert found["duplicate"] == 1 and found["no_change"] == 1 and found["not_a_text"] == 2
        assert sum(found.values()) == 6
        [sample] = _samples(folder).values()
        of_region = sample["regions"][0]["hard_negatives"]
        assert of_region[0] == {"text": "a blue mug", "attribute": "color", "original": "red",
                                "replacement": "blue", "verified": None}  # fmt: skip
        marked = {n["text"] for n in of_region if n["verified"] is False}
        assert marked == ({"a red cup", "a crimson mug"} if defects == "mark" else set())
        assert validate(str(folder / "out")) == []


def test_captions_with_defects_reject_or_are_marked(tmp_path: Path) -> None:
    refusal = "I'm sorry, but I can't assist with that."
    closing = " Let me know if you need anything else."
    items = [item(1, region(), short_caption=refusal), item(2, region(), caption="")]
    items.append(item(3, region(), caption=item(3)["caption"] + closing))
    out = _imported(tmp_path / "a", items, [1, 2, 3])
    assert out.manifest["rejects"] == {"empty_text": 1, "refused_by_model": 1}
    [sample] = _samples(tmp_path / "a").values()
    assert sample["long_caption"] == item(3)["caption"]
    assert out.manifest["dropped"] == {"release.long_caption.cut_closing": 1}
    out = _imported(tmp_path / "b", items, [1, 2, 3], defects="mark")
    assert out.manifest["rejects"] == {"empty_text": 1}
    samples = _samples(tmp_path / "b")
    assert samples[path_of(3)]["long_caption"].endswith(closing)
    assert samples[path_of(1)]["extra"]["release"]["defects"] == {
        "short_caption": "refused_by_model"
    }


@pytest.mark.parametrize("wrong", [
    7, None, [], {}, {"f_path": 3}, {**item(1), "bbox_info": None}, {**item(1), "caption": None},
    {"f_path": "../../etc/passwd"}, {**item(1), "f_path": "\ud800.jpg"},
])  # fmt: skip
def test_a_malformed_item_is_a_reject(wrong: Any, tmp_path: Path) -> None:
    out = _imported(tmp_path, [item(3, region()), wrong], [1, 3])
    assert out.manifest["counts"]["written"] == 1 and out.manifest["counts"]["rejected"] == 1
    [reason] = out.manifest["rejects"]
    assert reason in ("malformed_item", "missing_image")
    assert validate(str(tmp_path / "out")) == []


def test_a_file_that_is_no_image_is_a_reject(tmp_path: Path) -> None:
    source = release(tmp_path / "release", [item(n, region()) for n in (3, 4)])
    pictures = made.as_published(tmp_path / "images", [3, 4])
    (pictures / path_of(4)).write_text("<html>gone</html>")
    out = import_release(str(source), str(pictures), str(tmp_path / "out"), workers=1)
    assert out.manifest["rejects"] == {"not_an_image": 1}


@pytest.mark.parametrize("end", [-1, -40, 1])
def test_a_file_cut_short_is_an_error_in_a_line(end: int, tmp_path: Path) -> None:
    source = release(tmp_path / "release", [item(n, region()) for n in range(9)])
    pictures = made.as_tar(tmp_path / "images", [3])
    for path in ("jsonfiles/1716000000_results_1.json", "url2key_jsons/url2key_coyo_image_1.json"):
        text = (source / path).read_text()
        (source / path).write_text(text[:end])
        with pytest.raises(FinehardError, match="is damaged after") as raised:
            import_release(str(source), str(pictures), str(tmp_path / "out"), workers=1)
        assert "\n" not in str(raised.value) and not (tmp_path / "out/manifest.json").exists()
        (source / path).write_text(text)
    import_release(str(source), str(pictures), str(tmp_path / "out"), workers=1)
    assert validate(str(tmp_path / "out")) == []


def test_wrong_folders_are_refused(tmp_path: Path) -> None:
    source = release(tmp_path / "release", [item(3, region())])
    pictures = made.as_tar(tmp_path / "images", [3])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.doc").write_text("mine")
    for arguments, line in (
        ((source, pictures, tmp_path / "mine"), "not finehard's"),
        ((pictures, pictures, tmp_path / "out"), "has no jsonfiles"),
        ((source, tmp_path / "nowhere", tmp_path / "out"), "is no folder"),
        ((source, pictures, source / "out"), "overlap"),
    ):
        with pytest.raises(UsageError, match=line):
            import_release(*map(str, arguments), workers=1)
    with pytest.raises(UsageError, match="local folders only"):
        import_release("s3://a/b", str(pictures), str(tmp_path / "out"), workers=1)


@pytest.mark.slow
def test_any_number_of_processes_gives_the_same_bytes(tmp_path: Path) -> None:
    items = [item(n, region()) for n in range(60)]
    source = release(tmp_path / "release", items, 3)
    pictures = made.as_files(tmp_path / "images", list(range(0, 60, 2)))
    config = ReleaseConfig(shards=made_shards(5))
    found = []
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        import_release(str(source), str(pictures), str(out), config, workers)
        found.append({p.relative_to(out): p.read_bytes() for p in out.rglob("*")
                      if p.is_file() and "_journal" not in p.parts})  # fmt: skip
    assert found[0] == found[1] and len(found[0]) > 10


def made_shards(samples: int) -> Any:
    from finehard.dataset.layout import ShardsConfig

    return ShardsConfig(samples)


def test_report_audit_and_rejects_work_on_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = release(tmp_path / "release", [item(n, region()) for n in range(12)])
    pictures = made.as_tar(tmp_path / "images", list(range(8)))
    arguments = ["--release", str(source), "--images", str(pictures), "--workers", "1"]
    out = str(tmp_path / "out")
    assert main(["import-release", *arguments, "--output", out]) == 0
    printed = capsys.readouterr().out
    assert "12 items = 8 samples + 4 rejects" in printed
    assert "coyo_image_1" in printed and "no image" in printed
    assert main(["report", out]) == 0 and main(["audit", out]) == 0
    assert main(["stats", out]) == 0 and main(["validate", out]) == 0
    rejected = pq.read_table(f"{out}/rejected").to_pylist()
    assert {row["detail"] for row in rejected} == {path_of(n) for n in range(8, 12)}
