"""Good captions pass as they are; every kind of unusable text is cut clean or found."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finehard.demo import texts
from finehard.demo.render import render
from finehard.records import one_line
from finehard.stages.caption import Caption, CaptionConfig
from finehard.stages.regions import Regions, RegionsConfig
from finehard.texts.judge import FAULTS, REFUSED, UNFINISHED, Judge

GOOD = Path(__file__).parent / "good_captions.txt"
REAL = Path(__file__).parents[2].parent / "shared" / "data" / "captions_real.jsonl"

JUDGE = Judge(Caption(CaptionConfig()).prompt.text)
OF_REGIONS = Judge(Regions(RegionsConfig()).prompt.text)

BODY = (
    "A red mug with a chipped rim stands on a wooden table beside a blue bowl. Behind them, a "
    "folded newspaper leans against a white wall, and a pair of glasses lies on top of a closed "
    "green notebook near the window."
)


def _good() -> list[tuple[str, str]]:
    """The style and text of each good caption; the file has a line for each, "\\n" in it."""
    style, captions = "", []
    for line in GOOD.read_text("utf-8").splitlines():
        if line.startswith("# "):
            style = line[2:]
        elif line:
            captions.append((style, line.replace("\\n", "\n")))
    return captions


@pytest.mark.parametrize("long_words", [150, 0])
def test_none_of_230_good_captions_is_lost_or_asked_again(long_words: int) -> None:
    good = _good()
    assert len(good) == 230 == len({text for _, text in good})
    for style, text in good:
        judged = JUDGE(text, long_words)
        assert (judged.fault, judged.why) == (None, None), text
        if style == "models that begin with the image":
            assert set(judged.cut) <= {"opening"}, text
        else:
            assert (judged.text, judged.cut) == (one_line(text), {})


@pytest.mark.skipif(not REAL.exists(), reason="no ../shared/data beside the checkout")
def test_no_real_caption_is_lost_or_asked_again() -> None:
    for line in REAL.read_text("utf-8").splitlines():
        text = json.loads(line)["text"]
        for long_words in (150, 0):
            judged = JUDGE(text, long_words)
            assert (judged.fault, judged.why) == (None, None), text
            assert set(judged.cut) <= {"opening", "closing"}
            assert len(judged.text) > 0.6 * len(text)


def test_the_demos_own_texts_stay_as_they_are() -> None:
    for index in range(25):
        _, scene = render(7, index)
        for text in (texts.short_caption(scene), texts.long_caption(scene)):
            assert JUDGE(text, 150).text == text and JUDGE(text, 150).fault is None
        for thing in scene.things:
            assert OF_REGIONS(texts.thing_phrase(thing)).text == texts.thing_phrase(thing)


@pytest.mark.parametrize(
    ("dressed", "kinds"),
    [
        (f"{BODY} <|im_end|>", {"special_tokens"}),
        (f"{BODY}</s>", {"special_tokens"}),
        (f"<s>[INST]{BODY}[/INST]", {"special_tokens"}),
        (f"<image>\n{BODY}<|eot_id|><|start_header_id|>user", {"special_tokens"}),
        (f"<think>What do they want?</think>\n{BODY}", {"special_tokens"}),
        (f"<p>{BODY}</p><br/>", {"html"}),
        (BODY.replace(" beside", "&nbsp;beside"), {"html"}),
        (BODY.replace("red mug", "**red mug**").replace("blue", "*blue*"), {"markdown"}),
        (f"# Scene\n\n{BODY}", {"markdown"}),
        (f"```\n{BODY}\n```", {"markdown"}),
        (f"![mug](a/mug.png) {BODY}", {"markdown"}),
        (json.dumps({"long_caption": BODY}), {"json"}),
        (f"```json\n{json.dumps({'long_caption': BODY})}\n```", {"json"}),
        (f'"{BODY}"', set()),
        (f"**Caption:** {BODY}", {"markdown", "opening"}),
        (f"Sure! Here is a detailed caption for the image:\n\n{BODY}", {"opening"}),
        (f"The image shows a{BODY[1:]}", {"opening"}),
        (f"In this image, we can see a{BODY[1:]}", {"opening"}),
        (f"{BODY} Overall, the image conveys a sense of calm.", {"closing"}),
        (
            f"{BODY} The description is factual and does not include any subjective "
            "interpretations.",
            {"closing"},
        ),
        (f"{BODY} Let me know if you'd like more details!", {"closing"}),
        (f"{BODY} I cannot identify the owner of the mug.", {"closing"}),
        (f"{BODY} (41 words)", {"closing"}),
        (f"{BODY} ### Instruction: Describe it. ### Response: A mug.", {"special_tokens"}),
        (f"{BODY} User: What colour is it? Assistant: It is red.", {"special_tokens"}),
        (f"{BODY}\nHuman: And the bowl?", {"special_tokens"}),
        (f"### Response:\n{BODY}", {"special_tokens"}),
    ],
)
def test_dressing_is_cut_and_the_caption_left(dressed: str, kinds: set[str]) -> None:
    judged = JUDGE(dressed, 150)
    assert (judged.text, judged.fault, judged.why) == (BODY, None, None)
    assert set(judged.cut) == kinds
    assert all(piece for pieces in judged.cut.values() for piece in pieces)


@pytest.mark.parametrize(
    ("dressed", "left"),
    [
        ("The image shows a red mug.", "A red mug."),
        ("the image shows a red mug", "a red mug"),
        ("In the image, there are two dogs.", "There are two dogs."),
        ("This is a photo of a dog.", "A dog."),
        ("This is a close-up photo of a dog.", "A close-up photo of a dog."),
        ("The photo hangs on a wall.", "The photo hangs on a wall."),
        ("A photo of a dog lies on a desk.", "A photo of a dog lies on a desk."),
        ("Image 2: a mug", "a mug"),
        ("1. a mug", "a mug"),
        ("- a mug", "a mug"),
        ("a mug<|im_end|>", "a mug"),
        ("A red mug &amp; a bowl", "A red mug & a bowl"),
        ("**A red mug** on a table", "A red mug on a table"),
        ("- A mug.\n- **Bowl**: blue, round\n- A wall", "A mug. Bowl: blue, round. A wall."),
        ("Objects:\n1) a mug\n2) a bowl", "a mug. a bowl."),
        ("| mug | red |\n|---|---|\n| bowl | blue |", "mug, red. bowl, blue."),
        ("A mug.\\n\\nA bowl.", "A mug. A bowl."),
        ("<|ref|>a mug<|/ref|><|box_start|>(1,2),(3,4)<|box_end|>.", "a mug."),
        ("a mug [[123, 045, 678, 910]] on a table", "a mug on a table"),
        ('{"caption": "a mug"}', "a mug"),
        ("a mug [12, 33, 45, 67]", "a mug"),
        ("cropped image of a mug", "a mug"),
        ("the region shows a red mug", "a red mug"),
    ],
)  # fmt: skip
def test_what_is_left_reads_as_prose(dressed: str, left: str) -> None:
    judged = JUDGE(dressed)
    assert (judged.text, judged.fault) == (left, None)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that request.",
        "I’m unable to identify people in images.",
        '"I cannot help with describing this person."',
        "**Sorry**, I can't do that.",
        "As an AI language model, I can't see images.",
        "Unable to identify people.",
        "I don't see any image attached.",
        "I must decline to describe this image.",
        "It seems that no image was provided.",
        "The image could not be loaded.",
        "I'd be happy to help, but I can't see the image.",
        "Thank you for sharing this image, but I can't describe it.",
        "I apologize, but this goes against my guidelines.",
        "抱歉，我无法识别图片中的人物。",
        "申し訳ありませんが、お手伝いできません。",
        "죄송합니다. 도와드릴 수 없습니다.",
        "Es tut mir leid, dabei kann ich nicht helfen.",
        "Je suis désolé, mais je ne peux pas identifier cette personne.",
        "Lo siento, no puedo ayudar con eso.",
        "Mi dispiace, non posso aiutarti.",
        "Извините, я не могу помочь с этим.",
        "Lamentablemente, no puedo describir a esta persona.",
        "Sorry, I can't help with that.",
        "I don't feel comfortable describing this person.",
        "I prefer not to describe the person in it.",
        "I regret that I am unable to do so.",
        "I'm sorry, but I can't read what is written on the sign.",
        "I can't make out the sign in the image.",
        "My guidelines prevent me from describing it.",
        "It would be inappropriate to describe this person.",
        "It isn't appropriate for me to describe this.",
        "Your request was rejected as a result of our safety system.",
        "Sorry, the model cannot answer this question.",
        "Hmm, I can’t help with that one.",
        "Here is what I can say: I cannot identify the people.",
        "No description available.",
        "The image is too blurry to describe.",
        "Sorry!",
    ],
)
def test_a_refusal_is_found_and_not_asked_again(text: str) -> None:
    for judged in (JUDGE(text, 150), JUDGE(text), OF_REGIONS(text)):
        assert (judged.fault, judged.why) == (REFUSED, None)


@pytest.mark.parametrize(
    "text",
    [
        "Sorry Mom is tattooed on his arm",
        "Sorry, no vacancies is painted on the door",
        "I'm sorry for your loss is printed on a card",
        "The picture is displayed on an easel",
        "The photo is attached to a board with a pin",
        "It looks like a picture frame is missing from the wall",
        "No image is visible on the screen",
        "There is no picture on the canvas",
        "Can't Stop is the title on the record sleeve",
        "Please share the road is written on a yellow sign",
        "Unable to stand, a foal lies in the straw",
        "I prefer not to talk before coffee is a mug's motto",
        "I am an AI, says a robot in a cartoon",
        "No caption is provided below the framed photo of a ship",
        "The area is too steep to describe as a hill",
    ],
)
def test_words_of_refusal_in_the_picture_are_none_of_the_models(text: str) -> None:
    assert JUDGE(text).fault is None


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("empty_text", "..."),
        ("empty_text", " \u200b"),
        ("empty_text", "string"),
        ("empty_text", "<short caption>"),
        ("empty_text", "A caption of the image"),
        ("empty_text", "The image shows"),
        ("empty_text", "A short caption of the image. A long caption, about 150 words"),
        ("empty_text", "https://mugs.example/red.jpg"),
        ("empty_text", "Not visible"),
        ("empty_text", "unclear"),
        ("empty_text", "object"),
        ("empty_text", "Image 1"),
        ("empty_text", "One sentence of about 20 words that names what matters most."),
        ("empty_text", "Describe this image for someone who cannot see it."),
        ("json_text", '{"objects": [{"name": "mug", "color": "red"}]}'),
        ("json_text", f'{{"short_caption": "a mug", "long_caption": "{BODY}"}}'),
        ("json_text", f'{{"long_caption": "{BODY}'),
        ("markup_text", "### Objects\n- **Mug**: a *red* mug.\n- **Table**: wooden."),
        ("markup_text", "A cat &amp; a dog.<br/>A lamp. <|im_end|><|endoftext|>"),
        ("markup_text", '```json {"long_caption": "A red mug on a table"}```'),
        ("markup_text", "Red mug" + " http://spam.example/a" * 4),
        ("markup_text", "import cv2\nimg = cv2.imread('mug.jpg')"),
        ("boilerplate_text", "The user wants a long caption. There is a red mug."),
        ("boilerplate_text", "Okay, let me look at it. I should write about 150 words. A mug."),
        ("boilerplate_text", "Here is a detailed description of the image: a mug on a table."),
        ("foreign_text", "桌子上有一个红色的杯子，旁边有一本蓝色的书。"),
        ("foreign_text", "赤いマグカップが木のテーブルの上にあります。"),
        ("foreign_text", "Красная кружка стоит на столе рядом с книгой."),
        ("foreign_text", "A red mug stands on a table, next to a 蓝色的书 and a lamp."),
        ("foreign_text", "A red mug stands on a table. На стене висят часы."),
        ("foreign_text", "Ein roter Becher steht auf einem Tisch neben einer blauen Schale."),
        ("foreign_text", "Una taza roja está sobre una mesa junto a un libro y una lámpara."),
        ("foreign_text", "Une tasse rouge est sur une table près de la fenêtre."),
        ("repetitive_text", "A mug. " + "The wall is white. " * 9),
        ("repetitive_text", BODY + " The wall is white." * 4),
        ("repetitive_text", "A red mug stands on" + " the" * 20),
        ("repetitive_text", "a red mug, " * 12),
        ("repetitive_text", " ".join(f"A red mug in row {n}." for n in range(12))),
        ("repetitive_text", BODY + "".join(f" {n}. The wall is white." for n in range(9))),
        ("repetitive_text", f"{BODY} " + "!" * 90),
        ("repetitive_text", "ha" * 200),
        ("repetitive_text", "A red mug on a table" + "e" * 50),
        ("repetitive_text", "A shelf with " + ", ".join(f"book {n}" for n in range(1, 60))),
        ("repetitive_text", "A red mug on" + " the" * 6),
        (
            "repetitive_text",
            "A mug. "
            + " ".join(
                f"The wall is white and {how}."
                for how in ("clean", "bright", "plain", "smooth", "flat", "dull", "pale")
            ),
        ),
        (UNFINISHED, f"{BODY[:73]} and behind it there is a large wh"),
        (UNFINISHED, "A red mug on a table and a"),
        (UNFINISHED, "A cat lies on a sofa, and next to it there is a tall bookca"),
        (UNFINISHED, "A cat lies on a sofa beside a yellow cushion in the backgr"),
    ],
)
def test_what_cannot_be_mended_has_a_named_fault(fault: str, text: str) -> None:
    judged = JUDGE(text, 150)
    assert (judged.fault, judged.why) == (fault, FAULTS[fault])


def test_a_cut_sentence_goes_where_enough_is_left() -> None:
    judged = JUDGE(f"{BODY} And behind it there is a large wh", 150)
    assert (judged.text, judged.fault) == (BODY, None)
    assert judged.why and judged.cut == {
        "unfinished_sentence": ["And behind it there is a large wh"]
    }


def test_a_cut_sentence_goes_from_a_short_text_too() -> None:
    judged = JUDGE("A red mug stands on a table. Behind it there is a large wooden cupboa", 150)
    assert (judged.text, judged.fault) == ("A red mug stands on a table.", None)


def test_a_text_is_not_cut_after_an_abbreviation() -> None:
    for text in (
        "A view of the old tower of St. Mary's church where snow lies",
        "A plane of the grey U.S. Air Force fleet is parked on the grass",
    ):
        judged = JUDGE(text, 150)
        assert (judged.text, judged.fault) == (text, None)


def test_markup_and_openings_are_cut_from_any_long_text() -> None:
    listed = "\n".join(f"- **Thing**: {text}" for _, text in _good()[:5])
    judged = JUDGE(f"<h1>Objects</h1>\n{listed}<|im_end|>", 150)
    assert judged.fault is None and judged.text.startswith("Objects Thing: A red enamel mug")


def test_the_longest_text_is_judged_in_linear_time() -> None:
    """Halves of what is looked for, again and again: nothing is searched twice over."""
    seeds = ["<", "<|", "<box>", "<p ", "&", "[[1", "![", "[a](", "**a", "*", "`", "_a", "~~", '"',
             "“", "(", "{", '{"a":', "```", "\n- ", "\n#", "|", "\n|", "Sure! ", "here is a ",
             "the ", "a. B ", "!", "I'm ", "overall, ", "蓝", "Я ", '"Я"', "(蓝)", "“Я” a ",
             "</think>", "1. ", "Let me know. ", "### ", ". User: ", "[1.5, ", "(1,2),", "www.",
             "e ", "0 to 1 ", "The wall is white. ", "I should write. ", "sorry, ",
             "\nUser: "]  # fmt: skip
    JUDGE("warm", 150)
    for seed in seeds:
        text = seed * (40_000 // len(seed))
        started = time.process_time()
        JUDGE(text, 150)
        assert time.process_time() - started < 0.5, seed


def test_judging_200_words_takes_under_a_millisecond() -> None:
    words = " ".join(text for _, text in _good()[:25]).split()[:200]
    text = " ".join(words) + "."
    best = min(_seconds(text) for _ in range(20))
    assert best < 0.0004  # 0.00015 on an idle machine


def _seconds(text: str, times: int = 20) -> float:
    started = time.process_time()
    for _ in range(times):
        JUDGE(text, 150)
    return (time.process_time() - started) / times


_PIECES = st.sampled_from(
    ["**", "*", "_", "`", "```", "\n", "- ", "1. ", "#", "# ", "<br>", "<p", ">", "</s>", "<|",
     "|>", "<|im_end|>", "&amp;", "&#0;", "&#55296;", "[", "](", ")", "{", "}", '"', ":", "|",
     '{"a": "b"}', "The image shows ", "Overall, a mood. ", "I'm sorry, but I ", "a mug", " ", ".",
     "蓝色", "“", "”", "\ud800", "\0", "\u202e", "İ", "ß", "...", "\\n", "\\", "</think>",
     "[[1, 2, 3]]"]
)  # fmt: skip


@given(st.one_of(st.text(max_size=200), st.lists(_PIECES, max_size=25).map("".join)))
def test_any_text_is_judged_to_one_line(text: str) -> None:
    for long_words in (0, 150):
        judged = JUDGE(text, long_words)
        assert judged.text == one_line(judged.text)
        assert judged.fault in {None, REFUSED, *FAULTS}
        assert judged.text or judged.fault
        assert judged == JUDGE(text, long_words)
