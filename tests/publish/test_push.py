"""A published dataset arrives on the Hub whole, in commits that a second call continues."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from finehard.cli import main
from finehard.errors import FinehardError, UsageError
from finehard.publish import push as pushing
from finehard.publish.about import About
from finehard.publish.publish import publish
from finehard.publish.push import push
from tests.dataset.finished import dataset
from tests.publish.fake_hub import TOKEN, Hub, fake_hub

REPO = "someone/still-lifes"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published dataset, not to be changed."""
    folder = tmp_path_factory.mktemp("whole")
    publish(str(dataset(folder)), str(folder / "copy"), About("Still lifes", "mit"), workers=1)
    return folder / "copy"


@pytest.fixture
def made(whole: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub on this machine, and a token for it."""
    import huggingface_hub.constants as constants

    with fake_hub() as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(pushing, "_FILES", 2)
        yield running


def _files(made: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(made)): path.read_bytes()
        for path in made.rglob("*")
        if path.is_file() and "_journal" not in path.parts
    }


def test_all_but_the_journal_arrives(made: Path, hub: Hub) -> None:
    assert (made / "_journal" / "lock").exists()
    pushed = push(REPO, str(made))
    repo = hub.repos[REPO]
    assert repo.files == _files(made) and "CITATION.cff" in repo.files
    assert pushed.private and repo.private and pushed.url == f"{hub.url}/datasets/{REPO}"
    assert pushed.committed == len(repo.files) and len(repo.commits) > 2


def test_only_the_flag_makes_it_public(made: Path, hub: Hub) -> None:
    assert not push(REPO, str(made), public=True).private
    assert not hub.repos[REPO].private


def test_a_second_call_continues_the_first(made: Path, hub: Hub) -> None:
    push(REPO, str(made))
    stored = hub.sent("/storage/")
    hub.requests.clear()
    hub.repos[REPO].files.pop(sorted(f for f in hub.repos[REPO].files if f.endswith(".tar"))[0])
    again = push(REPO, str(made))
    assert stored and hub.sent("/storage/") == 0
    assert again.there == 2 and hub.repos[REPO].files == _files(made)


def test_a_refused_commit_is_one_line_and_the_next_call_goes_on(
    made: Path, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.refuse["/commit/"] = [200, 403]
    assert main(["push", REPO, "--data", str(made)]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "403" in line]
    assert len(lines) == 1 and "the same command goes on" in lines[0]
    assert len(hub.repos[REPO].files) == 2
    again = push(REPO, str(made))
    assert again.there == 2 and hub.repos[REPO].files == _files(made)


def test_a_busy_hub_is_asked_again(made: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    hub.refuse |= {"/commit/": [500, 429, 503], "/tree/": [502]}
    push(REPO, str(made))
    assert hub.repos[REPO].files == _files(made)
    hub.refuse["/tree/"] = [503] * 99
    with pytest.raises(FinehardError, match="503"):
        push(REPO, str(made))


def test_what_the_dataset_no_longer_has_is_deleted_there(made: Path, hub: Hub) -> None:
    push(REPO, str(made))
    files = hub.repos[REPO].files
    files |= {name: b"" for name in ("shards/finehard-00000-of-00009.tar", "pictures/old.jpg",
                                     "rejected/finehard-00000-of-00009.parquet", "mine.txt",
                                     ".gitattributes", "shards/mine.tar")}  # fmt: skip
    assert push(REPO, str(made), squash=True).deleted == 3
    kept = {name: b"" for name in ("mine.txt", ".gitattributes", "shards/mine.tar")}
    assert files == _files(made) | kept and hub.repos[REPO].commits == ["squashed"]


def test_what_cannot_be_pushed_is_one_line(
    made: Path, tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="is no published copy and tells local paths"):
        push(REPO, str(dataset(tmp_path)))
    with pytest.raises(UsageError, match="a/b/c"):
        push("a/b/c", str(made))
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(
        UsageError, match="no token for the Hub: run hf auth login, or set HF_TOKEN"
    ):
        push(REPO, str(made))
    next(made.glob("shards/*.tar")).write_bytes(b"")
    with pytest.raises(UsageError, match="not what the manifest says"):
        push(REPO, str(made))
    assert hub.repos == {}
