"""report.html in a real browser: self-contained, usable by touch and keyboard, legible, inert."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from finehard.records import HardNegative, Record, Region, one_line
from finehard.report import report
from tests.dataset.finished import Store
from tests.pictures import encoded, picture
from tests.report.made import BOXES, HOSTILE, dataset, finished, rejected, sample

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")

QUOTED = "He said \"it's 5 > 3 & 'fine'\" 😀 <b>not bold</b>"
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
DESK = {"viewport": {"width": 1280, "height": 900}}
SCHEMES = ("light", "dark")

CONTRASTS = """() => {
  const parse = (c) => {
    const n = c.match(/[\\d.]+/g).map(Number);
    return [...n.slice(0, 3), n[3] ?? 1];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const light = (c) => {
    const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = c.map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (e) => {
    const layers = [];
    for (; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const opacity = (e) => e ? getComputedStyle(e).opacity * opacity(e.parentElement) : 1;
  const found = [];
  const add = (e, color, text) => {
    const below = behind(e), top = parse(color);
    top[3] *= opacity(e);
    const [a, b] = [light(over(top, below)), light(below)].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), e.className || e.tagName, text.trim().slice(0, 40)]);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement;
    if (texts.currentNode.data.trim() && e.checkVisibility({visibilityProperty: true})) {
      add(e, getComputedStyle(e).color, texts.currentNode.data);
    }
  }
  for (const e of document.querySelectorAll("[placeholder]")) {
    add(e, getComputedStyle(e, "::placeholder").color, e.placeholder);
  }
  return found;
}"""
"""Contrast ratio (WCAG 2.2), element and text of every text that is shown."""

WIDE = """() => [...document.body.querySelectorAll("*")].filter((e) =>
  e.checkVisibility() && !e.closest(".scroll") && e.getBoundingClientRect().right > innerWidth + 0.5
).map((e) => e.className || e.tagName)"""


@dataclass
class Opened:
    """A report in a browser, and what the browser did and said by itself."""

    page: Any
    requests: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def card(self, key: str) -> Any:
        """The card of a sample."""
        return self.page.locator(".card", has=self.page.locator(f".key:has-text('{key} ')"))

    def shown(self) -> set[str]:
        """The keys of the cards that are seen."""
        keys = self.page.locator(".card .key").all()
        return {key.inner_text().split()[0] for key in keys if key.is_visible()}


Open = Callable[..., Opened]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, without a window."""
    with playwright.sync_playwright() as started:
        try:
            launched = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"{BROWSER} does not start: {str(error).splitlines()[0]}")
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of five hostile samples, k0 without a region; of one with quotes, an emoji and
    a word wider than a phone; and of two rejects."""
    folder = tmp_path_factory.mktemp("browser")
    store = Store(folder / "in")
    pointers = [
        sample(store, f"k{n}", HOSTILE, picture(400, 300, n), BOXES[: n % 4]) for n in range(5)
    ]
    data = encoded(picture(300, 400, 9), "PNG")
    negatives = (HardNegative(f"{QUOTED} round", "shape", "square", "round", False),)
    region = Region((0.1, 0.1, 0.6, 0.7), 0.5, "a", QUOTED, f"{QUOTED} by a door", negatives, True)
    record = Record(
        "quoted", "/in/quoted", "u", store._put(data), hashlib.sha256(data).hexdigest(),
        alt_text="w" * 300, format="png", width=300, height=400, short_caption=QUOTED,
        long_caption=f"{QUOTED} {'long' * 80}", regions=(region,),
    )  # fmt: skip
    pointers.append(finished(store, record))
    pointers += [rejected(store, f"bad{n}", "source", "not_an_image", HOSTILE) for n in range(2)]
    uri, _ = report(str(dataset(folder, store, pointers)))
    return Path(uri)


@pytest.fixture
def opened(browser: Any, file: Path) -> Iterator[Open]:
    """Opens the report in a window of its own."""
    contexts = []

    def open_(**settings: Any) -> Opened:
        contexts.append(browser.new_context(**settings))
        view = Opened(contexts[-1].new_page())
        view.page.on("request", lambda request: view.requests.append(request.url))
        view.page.on("console", lambda message: view.said.append(message.text))
        view.page.on("pageerror", lambda error: view.said.append(str(error)))
        view.page.on("dialog", lambda d: (view.said.append(f"dialog: {d.message}"), d.dismiss()))
        view.page.goto(file.as_uri())
        return view

    yield open_
    for context in contexts:
        context.close()


def everything(page: Any) -> None:
    """Opens whatever can be opened."""
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")


def test_it_opens_from_disk_without_requests(opened: Open, file: Path) -> None:
    view = opened(**DESK)
    everything(view.page)
    for box in view.page.locator(".box").all():
        box.focus()
    view.page.locator("#filter-text").fill("mug")
    for link in view.page.locator("a").all():
        link.click()
    pictures = view.page.locator(".card:visible img").all()
    for image in pictures:
        image.scroll_into_view_if_needed()
    view.page.evaluate("Promise.all([...document.images].map((one) => one.decode()))")
    assert len(pictures) == 5  # "quoted" has no mug
    assert not view.said
    assert {url.split("#")[0] for url in view.requests if not url.startswith("data:")} == {
        file.as_uri()
    }


def test_a_tap_on_a_box_opens_its_region_only(opened: Open) -> None:
    view = opened(**PHONE)
    card = view.card("k3")
    boxes = card.locator(".box")
    assert boxes.count() == 3
    for number in (2, 3, 1):
        box = card.locator(f".box:has-text('{number}')")
        box.scroll_into_view_if_needed()
        box.tap(position={"x": 2, "y": box.bounding_box()["height"] / 10})
        shown = [one.inner_text() for one in card.locator(".long-expr").all() if one.is_visible()]
        assert shown == [one_line(f"long {HOSTILE}")]
        [short] = card.locator(".region[open] .short-expr").all()
        assert short.inner_text().endswith(f" {number - 1}")
        assert card.locator(".region[open] mark").all_inner_texts() == ["other", "third"]
        assert card.locator(".region[open] .score").inner_text() == "0.50"
        assert boxes.evaluate_all("all => all.filter((b) => b.matches('.on')).length") == 1


def test_the_keyboard_reaches_every_box(opened: Open) -> None:
    view = opened(**DESK)
    card = view.card("k2")
    card.locator(".box").first.focus()
    view.page.keyboard.press("Tab")
    chosen = view.page.evaluate("document.activeElement.dataset.region")
    assert card.locator(".region[open]").get_attribute("id") == chosen


def test_filters_hide_other_samples(opened: Open) -> None:
    view = opened(**DESK)
    page = view.page
    every = {"k0", "k1", "k2", "k3", "k4", "quoted"}
    count = page.locator("#filter-count")
    assert view.shown() == every
    page.locator("#filter-text").fill("  MUG of k3 ")
    assert view.shown() == {"k3"} and count.inner_text() == "1 shown"
    page.locator("#filter-text").fill("")
    page.locator("#filter-attribute").select_option("shape")
    assert view.shown() == {"quoted"}
    page.locator("#filter-attribute").select_option("color")
    assert view.shown() == {"k1", "k2", "k3"} and count.inner_text() == "3 shown"
    page.locator("#filter-attribute").select_option("")
    page.locator("#filter-regions").check()
    assert view.shown() == every - {"k0", "k4"}
    page.locator("#filter-regions").uncheck()
    assert view.shown() == every
    page.locator("#hide-boxes").check()
    assert not [box for box in page.locator(".box").all() if box.is_visible()]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_text_has_enough_contrast(opened: Open, scheme: str) -> None:
    view = opened(**DESK, color_scheme=scheme)
    everything(view.page)
    contrasts = view.page.evaluate(CONTRASTS)
    assert len(contrasts) > 150
    assert not [one for one in contrasts if one[0] < 4.5]
    red = view.page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")
    assert (int(red) < 64) == (scheme == "dark")


@pytest.mark.parametrize("window", [PHONE, DESK], ids=["phone", "desk"])
def test_nothing_is_wider_than_the_window(opened: Open, window: dict[str, Any]) -> None:
    view = opened(**window)
    everything(view.page)
    width = window["viewport"]["width"]
    assert view.page.evaluate("document.scrollingElement.scrollWidth") == width
    assert view.page.evaluate("innerWidth") == width
    assert not view.page.evaluate(WIDE)


def test_hostile_texts_are_shown_and_do_nothing(opened: Open) -> None:
    view = opened(**DESK)
    everything(view.page)
    for key, text in (("k1", one_line(HOSTILE)), ("quoted", QUOTED)):
        card = view.card(key)
        assert card.locator(".short-caption").inner_text() == text
        assert text in card.locator(".long-caption").inner_text()
        assert text in card.locator(".short-expr").first.inner_text()
        assert text in card.locator(".box").first.get_attribute("aria-label")
        assert card.locator("img").get_attribute("alt") == text
        assert not card.locator("script, b:not(.short-expr), style, title").count()
    assert view.page.locator("script").count() == 1
    assert not view.said


def test_a_loss_links_to_its_examples(opened: Open) -> None:
    view = opened(**PHONE)
    view.page.locator(".losses a:has-text('not an image')").tap()
    panel = view.page.locator("#reject-not_an_image")
    playwright.expect(panel).to_be_in_viewport()
    assert view.page.url.endswith("#reject-not_an_image")
    assert one_line(HOSTILE) in panel.inner_text() and "bad0" in panel.inner_text()
    view.page.locator(".losses a[href='#dropped-detect-score']").tap()
    panel = view.page.locator("#dropped-detect-score")
    playwright.expect(panel).to_be_in_viewport()
    assert one_line(HOSTILE)[:100] in panel.inner_text() and "k1" in panel.inner_text()
