"""Local paths out of what is published: a name for the input instead, and last components."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import Any

from finehard.dataset.removals import below
from finehard.digest import digest
from finehard.io import storage

_PATH = re.compile(r"(?<![\w.:/~-])(?:file://)?~?/(?:[^\s/'\"`,:;()\[\]{}<>|=#]+/)+"
                   r"[^\s/'\"`,:;()\[\]{}<>|=#]*")  # fmt: skip
"""An absolute path of two components or more within a text."""
_OF_STAGES = ("provenance", "extra")
"""Parts of a sample whose strings may be paths of any folder; the others are texts."""
_URL = re.compile("https?://")
_STORE = re.compile(r"(?!https?:)[a-z0-9]+://\S+")


class Places:
    """What stands for the paths of one dataset, whose input was `source`: `name`, and for other
    inputs `name`, a hash of their folder, and their file name. `folders` are others that must not
    be told, such as the home and the current folder: "~" stands for each."""

    def __init__(self, source: str, name: str, folders: Iterable[str] = ()) -> None:
        self._source = source.removeprefix("file://")
        self._name = name
        names = {folder.rstrip("/"): "~" for folder in folders} | {self._source.rstrip("/"): name}
        self._folders = [
            (folder, re.compile(rf"(?<![\w./:-]){re.escape(folder)}(?![\w.-])"), name)
            for folder, name in sorted(names.items(), key=lambda each: -len(each[0]))
            if os.path.isabs(folder) and folder.count("/") > 1  # /root tells nothing, and is a word
        ]

    def source(self, uri: str) -> str:
        """Returns the `source_uri` of a sample or a reject as it is published."""
        uri = uri.removeprefix("file://")
        if uri.rstrip("/") == self._source.rstrip("/"):
            return self._name
        inside = below(uri, self._source)
        if inside != uri:
            return f"{self._name}{'' if inside[:1] == '#' else '/'}{inside}"
        if not os.path.isabs(uri) and (not storage.is_remote(uri) or _URL.match(uri)):
            return uri
        folder, _, last = uri.partition("#")[0].rpartition("/")
        member = uri[len(folder) + 1 + len(last) :]
        return f"{self._name}/{digest(folder, 4)}/{last}{member}"

    def text(self, text: str) -> str:
        """Returns `text` with paths replaced by their last components."""
        if os.path.isabs(text) or text.startswith(("~/", "file://")):
            named = text.rstrip("/") == self._source.rstrip("/")
            return self._name if named else os.path.basename(text.rstrip("/")) or self._name
        if _STORE.fullmatch(text):
            return os.path.basename(text.rstrip("/"))
        return _PATH.sub(_last, self.known(text))

    def known(self, text: str) -> str:
        """Returns `text` with the input's name for the input, and "~" for the known folders."""
        for folder, pattern, name in self._folders:
            if folder in text:
                text = pattern.sub(name, text)
        return text

    def values(self, value: Any) -> Any:
        """Returns JSON values with `text` of every string, also of keys."""
        return _changed(value, self.text)

    def sample(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Returns a sample without paths: in its source, its provenance, and what a user's stages
        added. Texts of people and models are left as they are, but for the known folders."""
        image = sample["image"]
        url = image["url"]
        image = {**image, "source_uri": self.source(image["source_uri"]),
                 "url": url if url and not _is_local(url) else None}  # fmt: skip
        made = {"image": image}
        for name in sample.keys() - made.keys():
            made[name] = _changed(sample[name], self.text if name in _OF_STAGES else self.known)
        return {name: made[name] for name in sample}


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    """Returns JSON values with every string changed, also keys."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): _changed(inner, change) for key, inner in value.items()}
    return [_changed(inner, change) for inner in value] if isinstance(value, list) else value


def _is_local(url: str) -> bool:
    return os.path.isabs(url) or url.startswith(("file:", "~/"))


def _last(found: re.Match[str]) -> str:
    return os.path.basename(found[0].rstrip("/"))
