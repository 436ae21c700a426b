"""Whole builds in this process, against a simulated server that does wrong on command."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.measure import server
from finehard.building import build
from finehard.config import parse_config

QUICK = ("--least-s", "0.005", "--most-s", "0.02")


class Faulty:
    """A simulated server at `url`, and the file with what it answered."""

    def __init__(self, url: str, log: Path) -> None:
        self.url = url
        self.log = log

    def control(self, **changes: Any) -> dict[str, int]:
        """Sets what goes wrong from now on; what did until now, by kind."""
        request = urllib.request.Request(
            self.url.removesuffix("/v1") + "/control", json.dumps(changes).encode()
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)["faults"]

    def answered(self) -> list[str]:
        """The questions that were answered well, in their order."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line.split()[2] for line in lines]


@contextmanager
def faulty(log: Path, *arguments: str) -> Iterator[Faulty]:
    """A simulated server in a process of its own."""
    with server("--log", str(log), *QUICK, *arguments) as url:
        yield Faulty(url, log)


def settings(*urls: str, **sections: Any) -> dict[str, Any]:
    """A config against the servers at `urls`; `model` adds to the model, the rest are sections."""
    model = {
        "model": "simulated",
        "endpoints": list(urls),
        "window": 16,
        "timeout_s": 2.0,
        **sections.pop("model", {}),
    }
    return {
        "models": {"lmm": model, "llm": model},
        "detect": {"backend": "bench.fixed_detector:load"},
        "source": {"unit_size": 8},
        "shards": {"samples_per_shard": 20},
        **sections,
    }


def built(
    values: dict[str, Any], source: Path | str, output: Path | str, *beam: str
) -> dict[str, Any]:
    """Builds in this process; the manifest."""
    config = parse_config(values, "test")
    return build(config, str(source), str(output), beam=beam).manifest
