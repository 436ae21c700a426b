"""report.html: complete, small, self-contained; texts of the dataset are only text in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finehard.cli import main
from finehard.dataset.packed import pack
from finehard.dataset.pointers import Pointer
from finehard.dataset.reader import open_dataset
from finehard.digest import digest
from finehard.phrases import PhrasesConfig, extractor, identity
from finehard.records import HardNegative, Record, Region, one_line, sample_json
from finehard.rejects import REASONS
from finehard.report import report
from finehard.report.statistics import caption_tokens
from finehard.report.write import MAX_BYTES, page
from tests.dataset.finished import Store
from tests.dataset.finished import dataset as whole
from tests.pictures import encoded, picture
from tests.report.made import HOSTILE, Parsed, dataset, finished, hostile_dataset, rejected, tame


@pytest.fixture(scope="module")
def text(hostile: Path) -> str:
    return page(open_dataset(str(hostile)))


def test_texts_add_no_elements_or_attributes(text: str, tmp_path: Path) -> None:
    tamed = page(open_dataset(str(hostile_dataset(tmp_path, tame(HOSTILE)))))
    found, expected = Parsed(text), Parsed(tamed)
    assert found.shape() == expected.shape()
    assert {tag for tag, _, _ in found.elements} == {tag for tag, _, _ in expected.elements}
    scripts = [text for tag, text in found.texts if tag == "script"]
    assert len(scripts) == 1 and "alert" not in scripts[0]
    for tag, attributes, _ in found.elements:
        assert not [name for name in attributes if name.startswith("on")], tag


def test_all_texts_are_shown_verbatim(text: str) -> None:
    read, said = Parsed(text).text(), one_line(HOSTILE)
    assert "<script>alert(1)</script>" in said and "😀" in said
    # short caption, long caption, alt text of 6 samples; details and sources of 3 rejects
    assert read.count(said) >= 6 * 3 + 3 * 2
    assert "49" not in re.findall(r"url\(http://evil.example/a\) (\S+)", read)


def test_bidirectional_marks_and_controls_are_removed(text: str) -> None:
    assert not re.findall("[\u200f\u202a-\u202e\u2066-\u2069\x1b]", text)


def test_the_page_refers_to_no_other_resource(text: str) -> None:
    found = Parsed(text)
    for tag, attributes, _ in found.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href", "ping"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/webp;base64,")), (tag, name)
        assert "url(" not in (attributes.get("style") or "")
    assert not {tag for tag, _, _ in found.elements} & {"link", "iframe", "object", "embed", "base"}
    for tag, text in found.texts:
        if tag == "style":
            assert "url(" not in text and "@import" not in text
        if tag == "script":
            assert not re.search(r"fetch|XMLHttp|import|innerHTML|eval|https?:", text)
    assert len(list(found.all("img"))) == 6


def test_the_policy_allows_no_requests_and_one_script(text: str) -> None:
    [policy] = [m["content"] for m in Parsed(text).all("meta") if "http-equiv" in m]
    assert policy is not None and policy.startswith("default-src 'none'; img-src data:;")
    [script] = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy


def test_all_sections_exist_and_all_links_have_targets(text: str) -> None:
    found = Parsed(text)
    ids = [a["id"] for _, a, _ in found.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {"samples", "rejects", "distributions", "prompts"} <= set(ids)
    headings = {text for tag, text in found.texts if tag == "h2"}
    assert headings == {
        "Images", "Boxes", "Made by", "Cost", "Samples", "Rejects", "Blind audit",
        "Distributions", "Prompts", "Left out by rules",
    }  # fmt: skip
    links = {link["href"] for link in found.all("a")}
    assert {"#reject-timeout", "#reject-not_an_image"} <= links
    assert all(link and link[1:] in ids for link in links)
    boxes = {box["data-region"] for box in found.all("button")}
    assert boxes == {i for i in ids if i and re.fullmatch(r"s\d+r\d+", i)} and len(boxes) == 7


def test_rejects_are_shown_with_reason_and_stage(text: str) -> None:
    read = Parsed(text).text()
    for reason, key, stage, number in (
        ("not_an_image", "bad", "source", 1),
        ("timeout", "late", "caption", 2),
        ("timeout", "late2", "regions", 2),
    ):
        assert f"{reason.replace('_', ' ')} {number} {REASONS[reason]}" in read
        assert f"{key} at {stage}: {one_line(HOSTILE)}" in read


def test_the_numbers_are_those_of_the_manifest(text: str, hostile: Path) -> None:
    counts = json.loads((hostile / "manifest.json").read_text())["counts"]
    assert counts == {
        "read": 9, "written": 6, "rejected": 3, "renamed_keys": 0, "regions": 7,
        "hard_negatives": 14,
    }  # fmt: skip
    read = Parsed(text).text()
    for name in ("regions", "hard_negatives", "rejected"):
        assert f"<dt>{name.replace('_', ' ')}</dt><dd>{counts[name]}</dd>" in text
    assert "inputs found 9 100.0 %" in read and "images read 8 88.9 %" in read
    # 2 boxes of each of 6 samples fell to a rule; how verification went is not asked here
    assert "boxes proposed by the detector 19 100.0 %" in read and "−12 score" in read


def test_words_that_differ_in_a_negative_are_marked(text: str) -> None:
    marked = {text.strip() for tag, text in Parsed(text).texts if tag == "mark"}
    assert {"other", "third"} <= marked


def test_the_page_depends_on_the_seed(hostile: Path) -> None:
    opened = open_dataset(str(hostile))
    assert page(opened, 3, 2) == page(opened, 3, 2)
    keys = [re.findall(r'<p class="key"[^>]*>(\w+)', page(opened, seed, 2)) for seed in range(8)]
    assert all(len(drawn) == 2 for drawn in keys) and len({tuple(k) for k in keys}) > 1


def test_the_page_size_is_limited(tmp_path: Path) -> None:
    store = Store(tmp_path / "in")
    long = "&" * 390  # "&amp;": five bytes a letter
    negatives = tuple(HardNegative(f"{long} {n}", "color", "a", "b", None) for n in range(24))
    region = Region((0.1, 0.1, 0.6, 0.7), 0.5, "a", f"{long} x", "a", negatives)
    data = encoded(picture(300, 200), "PNG")
    where, sha256 = store._put(data), hashlib.sha256(data).hexdigest()
    pointers = [
        finished(store, Record(f"k{n}", f"/in/{n}", "u", where, sha256, format="png",
                               width=300, height=200, short_caption="a", long_caption="b",
                               regions=(region,) * 24))
        for n in range(8)
    ]  # fmt: skip
    made = dataset(tmp_path, store, pointers)
    uri, length = report(str(made))
    assert length == Path(uri).stat().st_size < MAX_BYTES
    cards = len(list(Parsed(Path(uri).read_text()).all("article")))
    assert 1 <= cards < 8  # all of them would have been too large


def test_an_empty_dataset_has_a_report(tmp_path: Path) -> None:
    store = Store(tmp_path / "in")
    found = Parsed(page(open_dataset(str(dataset(tmp_path, store, [])))))
    assert "Nothing was rejected." in found.text() and "0 of 0" in found.text()


def test_the_command_writes_to_dataset_or_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = whole(tmp_path)
    assert main(["report", str(made), "--seed", "2", "--samples", "3"]) == 0
    assert (made / "report.html").stat().st_size > 10_000
    assert "report.html" in capsys.readouterr().out
    assert main(["report", str(made), "--output", str(tmp_path / "r.html")]) == 0
    assert len(list(Parsed((tmp_path / "r.html").read_text()).all("article"))) == 16


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda d: (d / "manifest.json").unlink(), "has no manifest.json"),
        (lambda d: (d / "manifest.json").write_text("[]"), "is not a dataset's manifest"),
        (lambda d: [p.write_bytes(b"") for p in (d / "shards").iterdir()], "finehard validate"),
        (lambda d: d.rename(d.parent / "away"), "does not exist"),
    ],
)
def test_an_unusable_dataset_is_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: object, says: str
) -> None:
    made = whole(tmp_path)
    spoil(made)  # type: ignore[operator]
    assert main(["report", str(made)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("finehard: ") and says in line
    assert main(["report", str(made), "--samples", "65"]) == 2


def test_an_audit_is_shown_until_the_next_build(tmp_path: Path) -> None:
    made = whole(tmp_path)
    opened = open_dataset(str(made))
    assert "Not audited since the last build" in page(opened)
    assert main(["audit", str(made)]) == 0
    figures = json.loads((made / "audit.json").read_text())
    read = Parsed(page(opened)).text()
    assert "Not audited" not in read and f"{figures['accuracy']:.3f}" in read
    assert f"against one negative: color {figures['negatives']}" in read
    assert figures["words"] and f"{figures['words'][0]['words']} " in read
    assert f"all texts {figures['traits']['items']}" in read
    assert figures["traits"]["verdict"] in read
    del figures["traits"]  # as written by an earlier version
    (made / "audit.json").write_text(json.dumps(figures))
    read = Parsed(page(opened)).text()
    assert f"{figures['accuracy']:.3f}" in read and "picked by traits" not in read
    text = (made / "manifest.json").read_text()
    (made / "manifest.json").write_text(text + "\n")  # as after another build
    assert "Not audited since the last build" in page(open_dataset(str(made)))


def test_expression_steps_add_up_and_link_to_examples(tmp_path: Path) -> None:
    store = Store(tmp_path / "in")
    caption = "A red mug on a table. The mug is red. A view of harmony. A blue hat."
    data = encoded(picture(), "PNG")
    found = extractor(PhrasesConfig(backend="wordnet"))(caption)
    region = Region((0.1, 0.1, 0.6, 0.7), 0.5, found.phrases[0].text, "a red mug", "a", ())
    record = Record("k", "/in/k", "u", store._put(data), hashlib.sha256(data).hexdigest(),
                    format="png", width=40, height=30, short_caption="a", long_caption=caption,
                    regions=(region, region))  # fmt: skip
    opened = open_dataset(str(dataset(tmp_path, store, [finished(store, record)])))
    config = PhrasesConfig(**opened.manifest["config"]["phrases"])
    assert "Expressions" not in Parsed(page(opened)).text()  # how they were found is not known
    opened.manifest["stages"]["phrases"] = {"fingerprint": digest(identity(config))}
    opened.manifest["dropped"] = {
        f"phrases.{rule}": len(what) for rule, what in found.dropped.items()
    }
    assert found.dropped and len(found.phrases) > 1
    parsed = Parsed(page(opened))
    total = len(found.phrases) + sum(map(len, found.dropped.values()))
    assert f"noun phrases in long captions {total} 100.0 %" in parsed.text()
    assert f"asked of the detector {len(found.phrases)} " in parsed.text()
    assert "with a box in the end 1 " in parsed.text()  # two boxes, one expression
    links = {link["href"] for link in parsed.all("a")}
    ids = {a.get("id") for _, a, _ in parsed.elements}
    for rule in found.dropped:
        assert f"#dropped-phrases-{rule}" in links and f"dropped-phrases-{rule}" in ids
    examples = store.folder.parent / "dataset/_journal/_dropped.json"
    assert json.loads(examples.read_text()) == {"detect.score": [["k", "a mug"]]}


def test_statements_verified_without_probabilities_are_listed(hostile: Path) -> None:
    opened = open_dataset(str(hostile))
    assert "without log-probabilities" not in Parsed(page(opened)).text()
    opened.manifest["dropped"] = {"verify.untold": 1234}
    parsed = Parsed(page(opened))
    assert "1,234 statements were verified without log-probabilities" in parsed.text()
    assert "left-out" not in {a.get("id") for _, a, _ in parsed.elements}


def test_extra_annotations_are_shown_as_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = with_extra(tmp_path, {"mood": {HOSTILE: HOSTILE, "score": 4.5}, "<b>": ["<i>", None]})
    found = Parsed(page(open_dataset(str(made))))
    read = found.text()
    assert f"mood.{one_line(HOSTILE)} {one_line(HOSTILE)}" in read.replace("  ", " ")
    assert "mood.score 4.5" in read and '<b> ["<i>", null]' in read
    assert not {"b", "i"} & {tag for tag, _, around in found.elements if "dl" in around}
    assert main(["show", str(made), "k", "--output", str(tmp_path / "k.png")]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "mood.score: 4.5" in printed and '<b>: ["<i>", null]' in printed
    assert f"mood.{one_line(HOSTILE)}: {one_line(HOSTILE)}" in printed


def with_extra(folder: Path, extra: object) -> Path:
    """A finished dataset of one sample, "k", with `extra`."""
    store = Store(folder / "in")
    data = encoded(picture(), "PNG")
    record = Record("k", "/in/k", "u", store._put(data), hashlib.sha256(data).hexdigest(),
                    format="png", width=40, height=30, short_caption="a",
                    long_caption="b")  # fmt: skip
    sample = {**sample_json(record, {}), "schema_version": "1.1", "extra": extra}
    item = {"sample": sample, "image": list(record.image), "usage": {}, "dropped": {}}
    return dataset(folder, store, [Pointer("k", "/in/k", store._put(pack(item)))])


def test_a_users_stage_and_its_reasons_are_on_the_page(tmp_path: Path) -> None:
    store = Store(tmp_path / "in")
    made = dataset(tmp_path, store, [rejected(store, "sad", "mood", "dull", "grey")])
    opened = open_dataset(str(made))
    spent = {"requests": 7, "prompt_tokens": 8, "completion_tokens": 9}
    opened.manifest["stages"]["mood"] = {"model": "moody", "revision": None, "fingerprint": "f"}
    opened.manifest.update(
        pipeline=["mood", "caption"], reject_reasons={"dull": "<b>too low</b>"},
        usage={"caption": spent, "mood": spent},
    )  # fmt: skip
    read = Parsed(page(opened)).text()
    assert "images read 1 100.0 % passed mood 0 0.0 % −1 dull" in read
    assert "dull 1 <b>too low</b>" in read and "sad at mood: grey" in read
    assert read.index("mood moody") < read.index("caption m m")
    assert read.index("mood 7 8 9") < read.index("caption 7 8 9")


def test_caption_tokens_are_of_first_replies(tmp_path: Path) -> None:
    made = whole(tmp_path)
    opened = open_dataset(str(made))
    assert caption_tokens(opened, 0, 100).total == 0
    journal = made / "_journal/caption/f"
    journal.mkdir(parents=True)
    table = {"requests": [1, 2, 1], "completion_tokens": [40, 90, 50]}
    pq.write_table(pa.table(table), journal / "part-a.parquet")
    (journal / "part-b.parquet").write_bytes(b"half")
    counts = caption_tokens(opened, 0, 100)
    assert (counts.total, counts.mean()) == (2, 45)
    assert "2 replies with both captions" in page(opened)
