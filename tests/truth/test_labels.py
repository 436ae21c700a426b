"""A person's labels: the sheet, the file that it saves, and the figures of a dataset by it."""

import copy
import io
import json
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finehard.dataset.reader import open_dataset
from finehard.errors import FinehardError, UsageError
from finehard.truth.command import main
from finehard.truth.labels import measure_labels, parse_labels, sentences
from finehard.truth.sheet import sheet
from tests.pictures import encoded, picture

HEADER = json.dumps({"labels_version": "1.0"})
NODE = shutil.which("node")
SCRIPT = Path(__file__).parents[2] / "finehard" / "truth" / "templates" / "sheet.js"
PICTURE = encoded(picture(), "PNG")
Sample = dict[str, Any]


def _sample(number: int) -> Sample:
    negatives = [
        {"text": f"a {color} mug {number}", "attribute": "color", "original": "red",
         "replacement": color, "verified": True}
        for color in ("blue", "green", "white", "black")
    ]  # fmt: skip
    return {
        "schema_version": "1.0",
        "key": f"k{number}",
        "image": {"width": 40, "height": 30, "format": "png", "sha256": f"hash{number}",
                  "source_uri": "", "url": None, "license": None},
        "alt_text": None,
        "short_caption": f"A red mug {number}.",
        "long_caption": f"A red mug {number} stands on a table. It is full.",
        "regions": [{"box": [0.1, 0.2, 0.5, 0.8], "score": 0.9, "phrase": "a red mug",
                     "short_expr": f"a red mug {number}", "long_expr": f"a full red mug {number}",
                     "hard_negatives": negatives, "verified": True}],
        "provenance": {},
    }  # fmt: skip


def _save(folder: Path, members: dict[str, bytes]) -> None:
    (folder / "shards").mkdir(parents=True)
    with tarfile.open(folder / "shards" / "finehard-00000-of-00001.tar", "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def _labels(sample: Sample) -> dict[str, Any]:
    """Returns labels by which all of the sample is right."""
    captions = [*sentences(sample["short_caption"]), *sentences(sample["long_caption"])]
    return {
        "key": sample["key"],
        "image": {"sha256": sample["image"]["sha256"]},
        "sentences": [{"text": text, "true": True} for text in captions],
        "regions": [
            {
                "box": region["box"],
                "text": region["short_expr"],
                "right": True,
                "statements": [
                    *({"text": region[n], "true": True} for n in ("short_expr", "long_expr")),
                    *({"text": n["text"], "true": False} for n in region["hard_negatives"]),
                ],
            }
            for region in sample["regions"]
        ],
        "missed": [],
    }


def _measured(samples: list[Sample], rows: list[dict[str, Any]]) -> dict[str, Any]:
    return measure_labels(samples, parse_labels([HEADER, *map(json.dumps, rows)], "labels"))


def _world() -> tuple[list[Sample], list[dict[str, Any]]]:
    samples = [_sample(number) for number in range(10)]
    return samples, [_labels(sample) for sample in samples]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    members = {}
    for number in range(10):
        members[f"k{number}.png"] = PICTURE
        members[f"k{number}.json"] = json.dumps(_sample(number)).encode()
    _save(folder, members)
    return folder


def test_dataset_that_is_labelled_right_is_perfect() -> None:
    result = _measured(*_world())
    assert set(result["figures"].values()) == {1.0}
    assert result["counted"] == {
        "caption_sentences_true": 30, "region_recall": 10, "boxes_right": 10,
        "region_text_correct": 10, "negatives_valid": 40, "verification_accuracy": 50,
    }  # fmt: skip
    assert result["unlabelled"] == 0 and result["intervals"]["boxes_right"][0] > 0.6


@pytest.mark.parametrize(
    "name, change",
    [
        ("caption_sentences_true", lambda row: row["sentences"][2].update(true=False)),
        ("boxes_right", lambda row: row["regions"][0].update(right=False)),
        ("region_recall", lambda row: row["missed"].append("a spoon")),
        ("region_text_correct", lambda row: row["regions"][0]["statements"][1].update(true=False)),
        ("negatives_valid", lambda row: row["regions"][0]["statements"][3].update(true=True)),
        ("verification_accuracy", lambda row: row["regions"][0]["statements"][3].update(true=True)),
    ],
)
def test_each_label_lowers_its_figure(name: str, change: Any) -> None:
    samples, rows = _world()
    for row in rows:
        change(row)
    assert _measured(samples, rows)["figures"][name] < 0.9


def test_labels_hold_for_a_rebuilt_dataset() -> None:
    samples, rows = _world()
    changed = copy.deepcopy(samples)
    for sample in changed:
        sample["key"] += "-new"
        region = sample["regions"][0]
        region["box"] = [0.12, 0.2, 0.5, 0.8]
        region["hard_negatives"][0]["text"] = "a purple mug"
    result = _measured(changed, rows)
    assert result["figures"]["boxes_right"] == 1 and result["counted"]["negatives_valid"] == 30
    assert result["unlabelled"] == 10


def test_images_that_are_gone_lower_the_recall() -> None:
    samples, rows = _world()
    result = _measured(samples[:5], rows)
    assert result["missing"] == 5 and result["figures"]["region_recall"] == 0.5


def test_what_is_left_out_counts_as_unlabelled() -> None:
    samples, rows = _world()
    for row in rows:
        row["regions"][0]["right"] = None
        row["regions"][0]["statements"][0]["true"] = None
    result = _measured(samples, rows)
    assert result["figures"]["boxes_right"] is None and result["unlabelled"] == 20


@pytest.mark.parametrize(
    "line",
    ['{"key": "a", "regions": [{"box": [1, 0, 0, 1], "text": "", "statements": []}]}',
     '{"key": "a", "sentences": [{"text": "b", "true": "yes"}]}',
     '{"key": "a", "regions": [{"box": [0, 0, 1, 1], "right": 1, "text": "", "statements": []}]}',
     '{"sentences": []}', '{"key": "a", "missed": [3]}', "{", "3"],
)  # fmt: skip
def test_malformed_labels_are_refused_with_their_line(line: str) -> None:
    with pytest.raises(UsageError, match="line 2:"):
        parse_labels([HEADER, line], "labels")


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["key", "image", "sentences", "regions", "box", "text", "true", "right",
                         "statements", "missed"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(_JSON)
def test_wild_labels_are_read_or_refused(value: Any) -> None:
    try:
        parse_labels([HEADER, json.dumps(value)], "labels")
    except UsageError as error:
        assert "\n" not in str(error)


def _data(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found
    return json.loads(found.group(1))


def test_sheet_shows_drawn_samples_and_mixes_their_texts(dataset: Path) -> None:
    opened = open_dataset(dataset)
    page = sheet(opened, 4, 2)
    samples = _data(page)["samples"]
    assert len(samples) == 4 and page == sheet(opened, 4, 2) != sheet(opened, 4, 2, seed=1)
    places = set()
    for sample in samples:
        statements = sample["regions"][0]["statements"]
        number = sample["key"][1:]
        assert len(statements) == 4 and sample["picture"].startswith("data:image/webp")
        places.add(statements.index(f"a red mug {number}"))
    assert len(places) > 1


def test_hostile_texts_cannot_leave_the_sheet(tmp_path: Path) -> None:
    sample = _sample(0)
    sample["short_caption"] = "</script><script>alert(1)</script>"
    members = {"k0.png": PICTURE, "k0.json": json.dumps(sample).encode()}
    _save(tmp_path / "data", members)
    page = sheet(open_dataset(tmp_path / "data"), 1, 1)
    assert "alert(1)</script>" not in page
    assert _data(page)["samples"][0]["sentences"][0] == sample["short_caption"]


_BROWSER = """
const nothing = new Proxy(function () {}, { get: (_, name) =>
  name === Symbol.toPrimitive ? () => "" : name === "textContent" ? PAGE : nothing,
  set: () => true, apply: () => nothing });
const document = nothing, window = nothing;
"""
_ANSWERS = """
for (const label of labels) {
  label.sentences = label.sentences.map(() => true);
  for (const region of label.regions) {
    region.right = true;
    region.true = region.true.map(() => false);
  }
  label.missed = "a spoon\\n\\n a fork ";
}
const saved = rows();
for (const label of labels) { label.missed = ""; for (const r of label.regions) r.right = null; }
read(saved);
if (rows() !== saved) throw new Error("not read back");
process.stdout.write(saved);
"""


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_what_the_sheet_saves_is_read_back(dataset: Path, tmp_path: Path, capsys: Any) -> None:
    page = tmp_path / "sheet.html"
    assert main([str(dataset), "--sheet", str(page), "--samples", "10"]) == 0
    text = json.dumps(json.dumps(_data(page.read_text())))
    program = f"const PAGE = {text};{_BROWSER}{SCRIPT.read_text()}{_ANSWERS}"
    run = subprocess.run([str(NODE)], input=program, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    labels = tmp_path / "labels.jsonl"
    labels.write_text(run.stdout)
    figures = tmp_path / "figures.json"
    assert main([str(dataset), "--truth", str(labels), "--json", str(figures)]) == 0
    result = json.loads(figures.read_text())
    assert result["figures"] == {
        "caption_sentences_true": 1, "region_recall": pytest.approx(1 / 3), "boxes_right": 1,
        "region_text_correct": 0, "negatives_valid": 1, "verification_accuracy": 0.75,
    }  # fmt: skip
    assert result["unlabelled"] == 10  # of four hard negatives, three are on the sheet
    assert "(0.886 to 1.000)" in capsys.readouterr().out


def test_bad_arguments_of_the_sheet_are_one_line(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--samples"):
        main([str(dataset), "--sheet", str(tmp_path / "a.html"), "--samples", "0"])
    with pytest.raises(FinehardError, match="cannot be written"):
        main([str(dataset), "--sheet", str(dataset)])
    with pytest.raises(UsageError, match="not allowed with"):
        main([str(dataset), "--sheet", "a", "--truth", "b"])
