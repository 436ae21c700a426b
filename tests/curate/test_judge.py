"""Why single images are left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFilter

from finehard import registry
from finehard.curate.checks import PersonalData, load_check
from finehard.curate.config import ColumnConfig, CurateConfig
from finehard.curate.judge import Judge, reasons
from finehard.curate.quality import measure
from finehard.errors import UsageError
from finehard.records import Record
from tests.curate.pictures import scene
from tests.pictures import record


def page() -> Image.Image:
    """A page of print."""
    drawn = Image.new("RGB", (600, 800), "white")
    for line in range(20):
        ImageDraw.Draw(drawn).text((40, 40 + 36 * line), "lorem ipsum dolor sit amet " * 2,
                                   fill="black", font_size=22)  # fmt: skip
    return drawn


def judged(picture: Image.Image, of: Record | None = None, **settings: object) -> str | None:
    """The reason's name."""
    of = of or record(width=picture.width, height=picture.height)
    reason = Judge(CurateConfig(**settings)).reason(of, picture)  # type: ignore[arg-type]
    return reason.name if reason else None


def test_nothing_is_left_out_by_default() -> None:
    assert judged(Image.new("RGB", (20, 400))) is None


@pytest.mark.parametrize(
    ("picture", "settings", "reason"),
    [
        (Image.new("RGB", (400, 90)), {"min_side": 100}, "small_side"),
        (Image.new("RGB", (401, 100)), {"max_aspect": 4.0}, "long_and_narrow"),
        (Image.new("RGB", (300, 300), "red"), {"min_entropy": 1.0}, "low_entropy"),
        (scene(0).filter(ImageFilter.GaussianBlur(6)), {"min_sharpness": 50.0}, "blurred"),
        (page(), {"max_text": 0.8}, "text_only"),
    ],
    ids=["small", "narrow", "empty", "blurred", "text"],
)
def test_poor_pictures_are_told_by_reason(
    picture: Image.Image, settings: dict[str, object], reason: str
) -> None:
    assert judged(picture, **settings) == reason
    assert all(judged(scene(n), **settings) is None for n in range(8))


def test_print_is_told_from_scenes() -> None:
    assert measure(page()).text > 0.9
    assert max(measure(scene(n)).text for n in range(20)) < 0.8


def test_licences_are_an_allow_list() -> None:
    picture = scene(0)
    for given, reason in (("CC-BY 4.0", None), ("cc-by  4.0", None), ("All rights reserved",
                          "license_not_allowed"), (None, "license_not_allowed")):  # fmt: skip
        of = record(license=given, width=300, height=300)
        assert judged(picture, of, licenses=("cc-by 4.0", "CC0")) == reason


@pytest.mark.parametrize(
    ("value", "left_out"),
    [(0.2, False), ("0.2", False), (0.9, True), ("n/a", True), (None, False)],
)
def test_columns_limit_numbers(value: object, left_out: bool) -> None:
    of = record(metadata={"punsafe": value}, width=300, height=300)
    reason = judged(scene(0), of, columns={"punsafe": ColumnConfig(most=0.5)})
    assert reason == ("left_out_by_column" if left_out else None)


def test_columns_name_texts_of_opt_outs() -> None:
    columns = {"opt_out": ColumnConfig(none_of=("true", "noai"))}
    for value, left_out in ((True, True), ("NoAI", True), (False, False), ("", False)):
        of = record(metadata={"opt_out": value}, width=300, height=300)
        assert (judged(scene(0), of, columns=columns) is not None) == left_out


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("write to jane.doe@example.org", True),
        ("call +49 30 1234567 now", True),
        ("tel. (212) 555-0199", True),
        ("030/1234567.", True),
        ("ring 212-555-0199", True),
        ("a jug, 12 x 30 cm, 2019-07-21", False),
        ("Boeing 737-800 at gate 12", False),
        ("1914-1918, photo 0815", False),
        ("IMG_20190721_123456.jpg", False),
        ("19.99 EUR, 1,234,567 sold", False),
        ("01.02.2019", False),
    ],
)
def test_personal_data_is_found_in_alt_texts(text: str, found: bool) -> None:
    assert (PersonalData()(record(alt_text=text), scene(0)) is not None) == found


def test_a_users_own_check_has_its_own_reasons(tmp_path: Path) -> None:
    (tmp_path / "my_own_checks.py").write_text(
        "from finehard.curate.reason import Reason\n"
        "class Red:\n"
        "    reasons = {'too_red': 'the first pixel is red'}\n"
        "    def __call__(self, record, picture):\n"
        "        red = picture.getpixel((0, 0))[0] > 200\n"
        "        return Reason('too_red', 'very') if red else None\n"
    )
    registry.add_path(str(tmp_path))
    config = CurateConfig(checks=("my_own_checks:Red",))
    assert "too_red" in reasons(config)
    of = record(width=300, height=300)
    assert Judge(config).reason(of, Image.new("RGB", (9, 9), "red")) == ("too_red", "very")
    assert Judge(config).reason(of, Image.new("RGB", (9, 9), "blue")) is None


def test_an_unknown_check_is_refused_in_one_line() -> None:
    with pytest.raises(UsageError, match="'faces' is not one of personal_data"):
        load_check("faces")
    with pytest.raises(UsageError, match="json:dumps has no reasons"):
        load_check("json:dumps")


def test_a_column_without_a_rule_is_refused() -> None:
    with pytest.raises(UsageError, match="columns.punsafe: give most"):
        CurateConfig(columns={"punsafe": ColumnConfig()})
