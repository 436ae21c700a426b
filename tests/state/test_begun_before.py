"""A dataset that an earlier version began is finished by this one, and nothing is asked twice.

The bytes are the same but for the version of the phrase rules, which has risen since.

begun_before/ was recorded with finehard at commit 298826f: the input, the journal of a build that
was killed, and the SHA-256 of every member of the shards of one that was not.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from tests.pipelines.world import Server, built, config, manifest

BEGUN = Path(__file__).parent / "begun_before"

pytestmark = pytest.mark.slow


def test_an_old_journal_is_finished_with_equal_bytes(tmp_path: Path) -> None:
    expected = json.loads((BEGUN / "expected.json").read_text())
    source, output = tmp_path / "in", tmp_path / "out"
    shutil.copytree(BEGUN / "in", source)
    output.mkdir()
    with tarfile.open(BEGUN / "journal.tar") as journal:
        journal.extractall(output, filter="data")
    server = Server(tmp_path / "log")
    small = {"sent_min_side": 1}  # the recorded server was shown cut-outs of less than 32 pixels
    built(config(tmp_path, server.url, images=small), source, output)
    answered = server.answered()
    server.close()
    new, old = manifest(output), json.loads((BEGUN / "manifest.json").read_text())
    rules, old_rules = (each["stages"]["phrases"]["fingerprint"] for each in (new, old))
    assert rules != old_rules
    assert _members(output, {str(source): "/INPUT", rules: old_rules}) == expected["members"]
    new["stages"]["phrases"] = old["stages"]["phrases"]
    usage = new["usage"]
    assert sum(stage["requests"] for stage in usage.values()) == expected["questions"]
    rehearsed = 4  # one of each stage that asks
    assert len(answered) == expected["questions"] - expected["journaled"] + rehearsed
    assert new["dropped"].pop("verify.untold") > 0  # was not counted
    for name in old.keys() - {"input", "config", "shards"}:  # these hold paths and ports
        assert new[name] == old[name], name
    assert new["config"]["images"].pop("sent_min_side") == 1
    assert _without_endpoints(new) == _without_endpoints(old)


def _members(output: Path, replaced: dict[str, str]) -> dict[str, str]:
    """The SHA-256 of every member of the shards, with some texts in it replaced."""
    sums = {}
    for shard in sorted((output / "shards").glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file is not None
                data = file.read()
                for text, other in replaced.items():
                    data = data.replace(text.encode(), other.encode())
                sums[f"{shard.name}/{member.name}"] = hashlib.sha256(data).hexdigest()
    return sums


def _without_endpoints(new: dict) -> dict:
    for model in new["config"]["models"].values():
        del model["endpoints"], model["window"]
    return new["config"]
