"""What stages do with texts that were judged: ask once more, leave out, count what was cut."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from finehard.texts.judge import Judged


def why_again(texts: Mapping[str, Judged]) -> str | None:
    """Returns why to ask once more for a reply with these texts, by name; None if it is not worth
    it."""
    return "; ".join(f"{name} {text.why}" for name, text in texts.items() if text.why) or None


def cut_pieces(texts: Iterable[Judged]) -> dict[str, list[str]]:
    """Returns what was cut from usable texts, by rule, for `Record.dropping`."""
    pieces: dict[str, list[str]] = {}
    for text in texts:
        for kind, cut in text.cut.items():
            pieces.setdefault(f"cut_{kind}", []).extend(cut)
    return pieces
