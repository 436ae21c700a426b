"""Files that are whole or absent; on object stores as on a disk."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from finehard.errors import FinehardError, UsageError
from finehard.io import clients, storage
from finehard.io.remote import use_options
from finehard.records import Bytes, Usage
from finehard.state.journal import Entry, Journal


def test_a_file_appears_whole_when_the_block_ends(tmp_path: Path) -> None:
    uri = str(tmp_path / "a" / "b.bin")
    with storage.writing(uri) as file:
        file.write(b"one")
        assert not os.path.exists(uri)
        file.write(b"two")
    assert storage.read_all(uri) == b"onetwo"
    assert os.listdir(tmp_path / "a") == ["b.bin"]


@pytest.mark.parametrize("durable", [True, False])
def test_an_error_in_the_block_leaves_what_was_there(tmp_path: Path, durable: bool) -> None:
    uri = str(tmp_path / "b.bin")
    storage.write(uri, b"before")
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), storage.writing(uri, durable) as file:
            file.write(b"after")
            raise error
    assert storage.read_all(uri) == b"before"
    assert os.listdir(tmp_path) == ["b.bin"]


def test_a_rename_that_fails_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "b.bin").mkdir()
    with pytest.raises(OSError):
        storage.write(str(tmp_path / "b.bin"), b"x")
    assert os.listdir(tmp_path) == ["b.bin"]


def test_a_range_is_read_and_a_short_one_is_an_error(tmp_path: Path) -> None:
    uri = str(tmp_path / "b.bin")
    storage.write(uri, b"0123456789")
    assert storage.read(Bytes(uri, 3, 4)) == b"3456"
    assert storage.read(Bytes(uri, 10, 0)) == b""
    for offset, length in ((8, 3), (10, 1), (99, 1)):
        with pytest.raises(EOFError, match="b.bin ends at byte"):
            storage.read(Bytes(uri, offset, length))
    with pytest.raises(FileNotFoundError):
        storage.read(Bytes(uri + "x", 0, 1))


def test_a_prefix_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "odd [1] *?"
    for name in ("a[0]-1", "a[0]-2", "a0-1", "b"):
        storage.write(str(folder / name), b"xyz")
    (folder / "a[0]-folder").mkdir()
    found = storage.glob(str(folder), "a[0]-")
    assert [(os.path.basename(f.uri), f.size) for f in found] == [("a[0]-1", 3), ("a[0]-2", 3)]
    assert storage.glob(str(folder), "*") == []
    assert storage.glob(str(tmp_path / "nowhere"), "a") == []


def test_hidden_and_underscored_folders_are_no_input(tmp_path: Path) -> None:
    for name in ("a.tar", "sub/b.tar", "_journal/c.tar", ".git/d.tar", "sub/_x/e.tar"):
        storage.write(str(tmp_path / name), b"")
    (tmp_path / "dangling.tar").symlink_to(tmp_path / "nowhere")
    found = [os.path.relpath(f.uri, tmp_path) for f in storage.walk(str(tmp_path))]
    assert found == ["a.tar", "sub/b.tar"]


def test_deleting_what_is_gone_is_no_error(tmp_path: Path) -> None:
    storage.write(str(tmp_path / "a"), b"")
    storage.delete([str(tmp_path / "a"), str(tmp_path / "b")])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("parts", "joined"),
    [(("/a/", "b"), "/a/b"), (("/", "b"), "/b"), (("gs://x", "b", "c"), "gs://x/b/c")],
)
def test_paths_and_uris_are_joined_alike(parts: tuple[str, ...], joined: str) -> None:
    assert storage.join(*parts) == joined


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the emulator did not start")


@pytest.fixture(scope="module", params=["gs", "s3"])
def bucket(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A bucket on an emulated object store."""
    port, scripts = _free_port(), Path(sys.executable).parent
    url = f"http://127.0.0.1:{port}"
    program = {"gs": "gcp-storage-emulator", "s3": "moto_server"}[request.param]
    if not (scripts / program).exists():
        pytest.skip(f"{program} is not installed")
    patch = pytest.MonkeyPatch()
    if request.param == "gs":
        command = ["start", "--host", "127.0.0.1", f"--port={port}", "--in-memory",
                   "--default-bucket=things"]  # fmt: skip
        patch.setenv("STORAGE_EMULATOR_HOST", url)
        patch.setenv("GOOGLE_CLOUD_PROJECT", "test")
        options = PipelineOptions(["--no_auth"])
    else:
        command = ["-H", "127.0.0.1", "-p", str(port)]
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        options = PipelineOptions(
            ["--s3_endpoint_url", url, "--s3_access_key_id", "testing",
             "--s3_secret_access_key", "testing", "--s3_region_name", "us-east-1"]
        )  # fmt: skip
    process = subprocess.Popen(
        [str(scripts / program), *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait(port, process)
        if request.param == "s3":
            import boto3

            boto3.client("s3", endpoint_url=url).create_bucket(Bucket="things")
        use_options(options)
        yield f"{request.param}://things"
    finally:
        patch.undo()
        process.kill()
        process.wait()


def test_a_scheme_that_no_store_has_is_one_line() -> None:
    with pytest.raises(UsageError, match="cannot use http://host: .* gs:// and s3://"):
        storage.is_dir("http://host/a.tar")


def test_missing_credentials_are_told_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    use_options(PipelineOptions([]))
    start = time.monotonic()
    with pytest.raises(FinehardError, match="no credentials for s3://mine: set AWS_ACCESS_KEY_ID"):
        storage.read_all("s3://mine/a.tar")
    assert time.monotonic() - start < 20  # Beam alone would try for minutes
    clients.forget()


@pytest.mark.slow
def test_a_bucket_that_is_not_there_is_one_line(bucket: str) -> None:
    missing = bucket.replace("things", "nothing")
    for ask in (storage.exists, storage.size, lambda uri: storage.write(uri, b"x")):
        with pytest.raises(FinehardError, match=f"there is no bucket {missing}$"):
            ask(f"{missing}/a.bin")


@pytest.mark.slow
def test_an_object_is_written_whole_and_read_in_ranges(bucket: str) -> None:
    uri = f"{bucket}/write/a.bin"
    assert not storage.exists(uri)
    with pytest.raises(FileNotFoundError):
        storage.size(uri)
    with pytest.raises(ValueError), storage.writing(uri) as file:
        file.write(b"half")
        raise ValueError
    assert not storage.exists(uri)
    data = bytes(range(256)) * 1000
    storage.write(uri, data)
    assert storage.exists(uri) and storage.size(uri) == len(data)
    assert storage.read_all(uri) == data
    assert storage.read(Bytes(uri, 1000, 5)) == data[1000:1005]
    with pytest.raises(EOFError):
        storage.read(Bytes(uri, len(data) - 2, 5))
    storage.delete([uri, f"{bucket}/write/never"])
    assert not storage.exists(uri)


@pytest.mark.slow
def test_a_range_costs_its_own_bytes_and_no_new_client(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"{bucket}/range/a.bin"
    storage.write(uri, os.urandom(3_000_000))
    storage.read(Bytes(uri, 0, 1))
    received = []
    read = http.client.HTTPResponse.read

    def counted(self: http.client.HTTPResponse, amount: int | None = None) -> bytes:
        data = read(self, amount)
        received.append(len(data))
        return data

    monkeypatch.setattr(http.client.HTTPResponse, "read", counted)
    start = time.process_time()
    for place in range(10):
        assert len(storage.read(Bytes(uri, 1000 * place, 1000))) == 1000
    assert 10_000 <= sum(received) < 20_000
    assert time.process_time() - start < 0.8  # a client of boto3 takes a tenth of a second


@pytest.mark.slow
def test_compressed_objects_are_read_as_they_are(bucket: str) -> None:
    import gzip

    data = gzip.compress(b"x" * 100)
    storage.write(f"{bucket}/gz/a.json.gz", data)
    assert storage.read_all(f"{bucket}/gz/a.json.gz") == data
    assert storage.size(f"{bucket}/gz/a.json.gz") == len(data)


@pytest.mark.slow
def test_objects_are_listed_with_odd_names_taken_as_they_are(bucket: str) -> None:
    folder = f"{bucket}/odd [1]"
    for name in ("a[0]-1", "a[0]-2", "a0-1", "sub/a[0]-3", "_journal/a[0]-4"):
        storage.write(f"{folder}/{name}", b"xyz")
    storage.write(f"{bucket}/odd 1/a[0]-5", b"xyz")
    found = storage.glob(folder, "a[0]-")
    assert [(f.uri, f.size) for f in found] == [(f"{folder}/a[0]-{n}", 3) for n in (1, 2)]
    assert storage.glob(folder, "a*") == []
    walked = [f.uri.removeprefix(folder + "/") for f in storage.walk(folder)]
    assert walked == ["a0-1", "a[0]-1", "a[0]-2", "sub/a[0]-3"]
    assert storage.size(f"{folder}/a[0]-1") == 3
    assert storage.is_dir(folder) and not storage.is_dir(f"{folder}/a[0]-1")
    assert not storage.is_dir(f"{bucket}/nothing here")
    storage.write(f"{folder}/a?0]-1", b"x")  # an empty object cannot be put on S3 by Beam
    storage.delete([f"{folder}/a?0]-1"])
    assert storage.exists(f"{folder}/a[0]-1")
    storage.delete_tree(folder)
    assert list(storage.walk(folder)) == []
    assert storage.exists(f"{bucket}/odd 1/a[0]-5")


@pytest.mark.slow
def test_a_journal_lives_on_an_object_store(bucket: str) -> None:
    output = f"{bucket}/journal"
    for key in ("a", "b"):
        journal = Journal(output)
        journal.put("caption/0123", "u", key, Entry({"says": key}, Usage(1, 2, 3)))
        journal.close()
    folder = f"{output}/_journal/caption/0123"
    assert len(storage.glob(folder, "part-u-")) == 2
    journal = Journal(output)
    assert journal.get("caption/0123", "u", "a") == Entry({"says": "a"}, Usage(1, 2, 3))
    journal.finish("u")
    journal.flush()
    [part] = storage.glob(folder, "part-u-")
    assert journal.get("caption/0123", "u", "b")
    storage.write(part.uri, storage.read_all(part.uri)[:-1])
    journal.finish("u")
    journal.flush()
    assert journal.get("caption/0123", "u", "b") is None  # damaged
    journal.close()


@pytest.mark.slow
def test_a_store_that_fails_is_one_line(bucket: str) -> None:
    nowhere = f"{bucket[:5]}no-such-bucket-here"
    journal = Journal(nowhere)
    journal.put("caption/0123", "u", "a", Entry(1, Usage()))
    with pytest.raises(FinehardError, match="cannot write the journal") as caught:
        journal.flush()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    with pytest.raises(FinehardError):
        journal.close()
