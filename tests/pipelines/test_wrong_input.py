"""What is wrong with a build's arguments, input or server is one line; nothing is left behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.pipelines.world import PHOTOS, Server, build, built, config, images, manifest, start


def _one_line(printed: str) -> str:
    [line] = [line for line in printed.splitlines() if line.startswith("finehard: ")]
    assert "Traceback" not in printed
    return line


def test_photographs_are_all_written_or_rejected(tmp_path: Path, server: Server) -> None:
    if not PHOTOS.exists():
        pytest.skip(f"no photographs at {PHOTOS}")
    built(config(tmp_path, server.url), PHOTOS, tmp_path / "out")
    counts = manifest(tmp_path / "out")["counts"]
    assert counts["read"] == 18 == counts["written"] + counts["rejected"]


@pytest.mark.parametrize(
    ("make", "code", "says"),
    [
        (lambda folder: folder / "nowhere", 2, "does not exist"),
        (lambda folder: _made(folder / "empty"), 1, "no images in"),
        (lambda folder: _file(folder / "x.zip"), 2, "neither a folder nor a .tar or .parquet"),
        (lambda folder: _file(folder / "x.parquet"), 1, "is no readable Parquet file"),
    ],
)
def test_a_wrong_input_is_one_line_and_leaves_no_output(
    tmp_path: Path, server: Server, make: object, code: int, says: str
) -> None:
    source = make(tmp_path)  # type: ignore[operator]
    done = build(config(tmp_path, server.url), source, tmp_path / "out")
    assert done.returncode == code
    assert says in _one_line(done.stderr)
    assert str(source) in done.stderr
    assert not (tmp_path / "out").exists()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _file(path: Path) -> Path:
    path.write_bytes(b"not what its name says")
    return path


def test_a_truncated_tar_gives_what_it_has_and_one_reject(tmp_path: Path, server: Server) -> None:
    source = images(tmp_path / "in", 20)
    [tar] = source.glob("*.tar")
    data = tar.read_bytes()
    tar.write_bytes(data[: len(data) * 3 // 5])
    built(config(tmp_path, server.url), source, tmp_path / "out")
    made = manifest(tmp_path / "out")
    assert made["rejects"] == {"truncated_archive": 1}
    assert 8 <= made["counts"]["written"] <= 13


def test_an_unknown_config_key_is_named_with_a_suggestion(tmp_path: Path, server: Server) -> None:
    settings = config(tmp_path, server.url, caption={"promt": "caption.v1"})
    done = build(settings, images(tmp_path / "in", 1), tmp_path / "out")
    assert done.returncode == 2
    assert "unknown key caption.promt; did you mean prompt?" in _one_line(done.stderr)
    assert not (tmp_path / "out").exists()


def test_a_dead_server_is_named_before_anything_is_written(tmp_path: Path) -> None:
    settings = config(tmp_path, "http://127.0.0.1:9/v1")
    done = build(settings, images(tmp_path / "in", 1), tmp_path / "out")
    assert done.returncode == 1
    assert "no model server at http://127.0.0.1:9/v1" in _one_line(done.stderr)
    assert not (tmp_path / "out" / "shards").exists()


def test_a_dead_server_ends_the_build_and_answers_are_kept(tmp_path: Path, server: Server) -> None:
    model = {"model": "simulated", "endpoints": [server.url], "window": 16, "outage_s": 2}
    settings = config(tmp_path, server.url, models={"lmm": model, "llm": model})
    process = start(settings, images(tmp_path / "in", 400), tmp_path / "out")
    while len(server.answered()) < 50:
        assert process.poll() is None
    server.close()
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "no model server answered for" in _one_line(printed)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_server_that_breaks_the_schema_rejects_by_reason(tmp_path: Path) -> None:
    server = Server(tmp_path / "log", broken=True)
    try:
        done = build(config(tmp_path, server.url), images(tmp_path / "in", 5), tmp_path / "out")
    finally:
        server.close()
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("finehard: ")]
    warning, line = lines[0], lines[-1]
    assert "the model may be too weak" in warning and "stage caption: invalid_reply" in warning
    assert "nothing could be written: all 5 images were rejected, 5 for invalid_reply" in line
    captions = [stage for _, stage, _ in server.answered() if stage == "caption"]
    assert len(captions) == (5 + 2) * 3  # asked, and twice told what was wrong; two are samples


def test_an_output_with_foreign_files_is_refused_untouched(tmp_path: Path, server: Server) -> None:
    out = tmp_path / "out"
    _file(_made(out) / "thesis.doc")
    done = build(config(tmp_path, server.url), images(tmp_path / "in", 1), out)
    assert done.returncode == 2
    assert "holds other files (thesis.doc)" in _one_line(done.stderr)
    assert [f.name for f in out.iterdir()] == ["thesis.doc"]


def test_an_unknown_beam_option_is_refused(tmp_path: Path, server: Server) -> None:
    done = build(
        config(tmp_path, server.url), images(tmp_path / "in", 1), tmp_path / "out", "--bogus=1"
    )
    assert done.returncode == 2
    assert "unknown Beam option --bogus=1" in _one_line(done.stderr)


def test_repeated_keys_are_renamed_and_counted(tmp_path: Path, server: Server) -> None:
    source = images(tmp_path / "in", 6)
    shutil.copy(source / "00000.tar", source / "00001.tar")
    done = build(config(tmp_path, server.url), source, tmp_path / "out")
    assert done.returncode == 0
    assert "6 keys occurred before and were made unique" in done.stdout
    index = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert index["counts"]["written"] == 12


def test_a_second_build_on_the_same_output_is_refused(tmp_path: Path, server: Server) -> None:
    from finehard.state.lock import locked

    settings, source = config(tmp_path, server.url), images(tmp_path / "in", 2)
    with locked(str(tmp_path / "out")):
        done = build(settings, source, tmp_path / "out")
    assert done.returncode == 1
    assert "is being built by process" in _one_line(done.stderr)
