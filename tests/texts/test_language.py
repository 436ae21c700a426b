"""A text's language is measured by its prompt, so that prompts in any language work."""

from __future__ import annotations

import pytest

from finehard.texts.judge import Judge
from finehard.texts.language import Language, words_of

ENGLISH = "Describe this image in two sentences. Name the color of each thing that you can see."
TEXTS = {
    "english": "A red mug stands on a table beside the window and a lamp.",
    "german": "Ein roter Becher steht auf einem Tisch neben dem Fenster und einer Lampe.",
    "chinese": "桌子上有一个红色的杯子，旁边有一本蓝色的书。",
    "russian": "Красная кружка стоит на столе у окна.",
    "korean": "빨간 머그잔이 나무 탁자 위에 있습니다.",
    "greek": "Μια κόκκινη κούπα στο τραπέζι.",
}


def _accepted(prompt: str) -> set[str]:
    language = Language(prompt)
    return {name for name, text in TEXTS.items() if not language.is_foreign(text, words_of(text))}


@pytest.mark.parametrize(
    ("prompt", "accepted"),
    [
        (ENGLISH, {"english"}),
        (f"{ENGLISH} Answer in German.", {"english", "german"}),
        (f"{ENGLISH} Answer in Chinese.", {"english", "german", "chinese"}),
        (f"{ENGLISH} Answer in English, do not use Chinese, Greek or Russian.", {"english"}),
        (f"{ENGLISH} Don't write in Greek.", {"english"}),
        (f"{ENGLISH} Do not guess, and answer in Russian.", {"english", "german", "russian"}),
        (f"{ENGLISH} Write Russian.", {"english", "russian"}),
        (f"{ENGLISH} Use Korean words.", {"english", "korean", "chinese"}),
        (f"{ENGLISH} The language is Greek.", {"english", "greek"}),
        ("Опиши картинку. short_caption, long_caption", {"english", "german", "russian"}),
        ("用两句话描述这张图片。", {"english", "german", "chinese"}),
        ("Beschreibe das Bild in einem Satz mit der Farbe und dem Ort der Dinge.", {"german"}),
    ],
)
def test_the_prompt_decides(prompt: str, accepted: set[str]) -> None:
    assert _accepted(prompt) == accepted


def test_rules_of_english_words_are_for_english_prompts_only() -> None:
    swedish = "Beskriv bilden i en mening med det som är på den och vid den."
    assert Language(ENGLISH).is_english and not Language(swedish).is_english
    assert not Language(f"{ENGLISH} Answer in Swedish.").is_english
    for text in ("en katt på en bro", "Katten ligger på en bänk, och den är svart som kol i of"):
        assert Judge(swedish)(text, 150).fault is None


@pytest.mark.parametrize(
    "text",
    [
        "A sign that reads 出口.",
        "The door is marked “出口” and 入口 is written on the other.",
        "A lantern (红灯笼) hangs on a wall.",
        "A β-shaped hook, H₂O and π on a blackboard.",
        "A poster: «Мир» beside the door.",
        "A Vietnamese menu, phở bò, in a café.",
    ],
)
def test_signs_and_names_may_be_in_any_script(text: str) -> None:
    assert not Language(ENGLISH).is_foreign(text, words_of(text))


def test_a_quotations_language_is_not_the_captions() -> None:
    text = 'The poster says "le pain et la tarte sur la table de la maison avec les amis".'
    assert not Language(ENGLISH).is_foreign(text, words_of(text))


def test_a_text_of_nothing_but_a_foreign_quotation_is_foreign() -> None:
    text = "“桌子上有一个红色的杯子”"
    assert Language(ENGLISH).is_foreign(text, words_of(text))
