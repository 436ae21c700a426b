"""Files that are whole or absent; on object stores as on a disk."""

from __future__ import annotations

import http.client
import http.server
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from finehard.errors import FinehardError, UsageError
from finehard.io import remote, storage
from finehard.records import Bytes, Usage
from finehard.state.journal import Entry, Journal
from tests.io import emulators


def test_a_file_appears_whole_when_the_block_ends(tmp_path: Path) -> None:
    uri = str(tmp_path / "a" / "b.bin")
    with storage.writing(uri) as file:
        file.write(b"one")
        assert not os.path.exists(uri)
        file.write(b"two")
    assert storage.read_all(uri) == b"onetwo"
    assert os.listdir(tmp_path / "a") == ["b.bin"]


@pytest.mark.parametrize("durable", [True, False])
def test_an_error_in_the_block_keeps_the_old_file(tmp_path: Path, durable: bool) -> None:
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
    files = storage.glob(str(folder), "a[0]-")
    assert [(os.path.basename(f.uri), f.size) for f in files] == [("a[0]-1", 3), ("a[0]-2", 3)]
    assert storage.glob(str(folder), "*") == []
    assert storage.glob(str(tmp_path / "nowhere"), "a") == []


def test_hidden_and_underscored_folders_are_no_input(tmp_path: Path) -> None:
    for name in ("a.tar", "sub/b.tar", "_journal/c.tar", ".git/d.tar", "sub/_x/e.tar"):
        storage.write(str(tmp_path / name), b"")
    (tmp_path / "dangling.tar").symlink_to(tmp_path / "nowhere")
    files = [os.path.relpath(f.uri, tmp_path) for f in storage.walk(str(tmp_path))]
    assert files == ["a.tar", "sub/b.tar"]


def test_deleting_a_missing_file_is_no_error(tmp_path: Path) -> None:
    storage.write(str(tmp_path / "a"), b"")
    storage.delete([str(tmp_path / "a"), str(tmp_path / "b")])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("parts", "joined"),
    [(("/a/", "b"), "/a/b"), (("/", "b"), "/b"), (("gs://x", "b", "c"), "gs://x/b/c")],
)
def test_paths_and_uris_are_joined_alike(parts: tuple[str, ...], joined: str) -> None:
    assert storage.join(*parts) == joined


SCHEMES = ["s3", "gs", "az", "memory", "file"]
NO_CREDENTIALS = {
    "s3": "no credentials for s3://mine: set AWS_ACCESS_KEY_ID",
    "az": "no credentials for az://mine: set AZURE_STORAGE_CONNECTION_STRING",
}


@pytest.fixture(scope="module", params=SCHEMES)
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[emulators.Emulator]:
    """A store of each kind, without its options."""
    if request.param in ("memory", "file"):
        folder = tmp_path_factory.mktemp("store") if request.param == "file" else "things"
        yield emulators.Emulator(f"{request.param}://{folder}", {}, "")
    else:
        with emulators.start(request.param) as emulator:
            yield emulator


@pytest.fixture
def bucket(store: emulators.Emulator) -> str:
    storage.configure(store.options)
    return store.root


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_", "STORAGE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def test_an_unknown_scheme_is_one_line() -> None:
    with pytest.raises(UsageError, match="cannot use nope://host: unknown .* s3, .* hf"):
        storage.is_dir("nope://host/a.tar")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    storage.configure({})
    registry = sys.modules["fsspec.registry"]._registry
    for scheme, module, extra in (
        ("s3", "boto3", "aws"),
        ("gs", "google.cloud.storage", "gcp"),
        ("abfs", "azure.storage.blob", "azure"),
        ("hf", "huggingface_hub", "hub"),
    ):
        for name in ("s3", "gcs", "azure"):
            monkeypatch.delitem(sys.modules, f"finehard.io.{name}", raising=False)
        monkeypatch.setitem(sys.modules, module, None)
        parent, _, child = module.rpartition(".")
        if parent in sys.modules:  # an import takes what is an attribute there already
            monkeypatch.delattr(sys.modules[parent], child, raising=False)
        monkeypatch.delitem(registry, scheme, raising=False)
        with pytest.raises(UsageError, match=rf"pip install 'finehard\[{extra}\]'"):
            storage.exists(f"{scheme}://things/a")


def test_a_wrong_option_is_named() -> None:
    storage.configure({"s3": {"endpoint": "http://x"}})
    with pytest.raises(UsageError, match="s3:// has no option 'endpoint': it has .*endpoint_url"):
        storage.exists("s3://things/a")


def test_later_layers_of_options_win() -> None:
    merged = storage.configure({"s3": {"key": "a", "secret": "b"}}, {"s3": {"key": "c"}, "gs": {}})
    assert merged == {"s3": {"key": "c", "secret": "b"}, "gs": {}}
    storage.configure({})


@pytest.mark.parametrize("scheme", ["s3", "az"])
def test_missing_credentials_are_reported_within_seconds(scheme: str, no_environment: None) -> None:
    pytest.importorskip({"s3": "boto3", "az": "azure.storage.blob"}[scheme])
    storage.configure({})
    start = time.monotonic()
    with pytest.raises(FinehardError, match=NO_CREDENTIALS[scheme]):
        storage.read_all(f"{scheme}://mine/a.tar")
    assert time.monotonic() - start < 10


def test_azure_without_any_login_is_reported(
    no_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("azure.identity")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "nobody")
    storage.configure({})
    start = time.monotonic()
    with pytest.raises(FinehardError, match="no credentials for az://...@nobody: set AZURE"):
        storage.read_all("az://mine/a.tar")
    assert time.monotonic() - start < 10


def test_a_private_gcs_bucket_without_credentials_is_reported(
    no_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("google.cloud.storage")
    monkeypatch.setenv("NO_GCE_CHECK", "true")

    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        storage.configure({"gs": {"endpoint_url": f"http://127.0.0.1:{server.server_port}"}})
        start = time.monotonic()
        with pytest.raises(FinehardError, match="no credentials for gs://mine, which is not"):
            storage.read_all("gs://mine/a.tar")
        assert time.monotonic() - start < 10
        server.shutdown()


def test_environment_variables_are_enough(
    store: emulators.Emulator, no_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for scheme, options in store.options.items():
        values = {
            "s3": {"AWS_ENDPOINT_URL": store.url, "AWS_ACCESS_KEY_ID": "me",
                   "AWS_SECRET_ACCESS_KEY": "secret"},
            "gs": {"STORAGE_EMULATOR_HOST": store.url},
            "az": {"AZURE_STORAGE_CONNECTION_STRING": options.get("connection_string", "")},
        }[scheme]  # fmt: skip
        for name, value in values.items():
            monkeypatch.setenv(name, value)
    storage.configure({})
    storage.write(f"{store.root}/environment/a", b"x")
    assert storage.exists(f"{store.root}/environment/a")


@pytest.mark.slow
def test_a_missing_bucket_is_one_line(bucket: str) -> None:
    if bucket.startswith(("memory", "file")):
        pytest.skip("it has no buckets")
    missing = bucket.replace("things", "nothing")
    start = time.monotonic()
    for ask in (storage.exists, storage.size, lambda uri: storage.write(uri, b"x")):
        with pytest.raises(FinehardError, match=f"there is no (bucket|container) {missing}$"):
            ask(f"{missing}/a.bin")
    assert time.monotonic() - start < 10


@pytest.mark.slow
def test_an_unreachable_store_is_one_line_within_seconds() -> None:
    pytest.importorskip("boto3")
    options = {"endpoint_url": "http://127.0.0.1:9", "key": "a", "secret": "b"}
    storage.configure({"s3": options})
    start = time.monotonic()
    with pytest.raises(FinehardError, match="cannot reach s3://things: .*127.0.0.1:9"):
        storage.exists("s3://things/a")
    assert time.monotonic() - start < 30


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
def test_objects_are_overwritten_and_may_be_empty_or_large(bucket: str) -> None:
    uri, large = f"{bucket}/over/a.bin", os.urandom(20 << 20)
    for data in (b"one", b"", large):
        storage.write(uri, data)
        assert storage.read_all(uri) == data and storage.size(uri) == len(data)
    with storage.open_read(uri) as file:
        file.seek(-3, os.SEEK_END)
        assert file.read() == large[-3:]
        file.seek(0)
        assert b"".join(iter(lambda: file.read(1 << 20), b"")) == large


@pytest.mark.slow
def test_missing_objects_are_file_not_found(bucket: str) -> None:
    uri = f"{bucket}/missing/a.bin"
    for ask in (storage.size, storage.open_read, storage.read_all):
        with pytest.raises(FileNotFoundError):
            ask(uri)
    with pytest.raises(FileNotFoundError):
        storage.read(Bytes(uri, 3, 4))


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the pieces that this process reads from HTTP replies."""
    lengths: list[int] = []
    read = http.client.HTTPResponse.read

    def counted(self: http.client.HTTPResponse, amount: int | None = None) -> bytes:
        data = read(self, amount)
        lengths.append(len(data))
        return data

    monkeypatch.setattr(http.client.HTTPResponse, "read", counted)
    return lengths


@pytest.mark.slow
def test_a_range_transfers_its_own_bytes_from_any_thread(bucket: str, received: list[int]) -> None:
    uri = f"{bucket}/range/a.bin"
    data = os.urandom(3_000_000)
    storage.write(uri, data)
    storage.read(Bytes(uri, 0, 1))
    received.clear()
    start = time.process_time()
    with ThreadPoolExecutor(16) as pool:
        places = [Bytes(uri, 1000 * n, 1000) for n in range(100)]
        assert b"".join(pool.map(storage.read, places)) == data[:100_000]
    assert sum(received) == (0 if bucket.startswith(("memory", "file")) else 100_000)
    assert time.process_time() - start < 4  # a hundred clients of boto3 would take 10 s


@pytest.mark.slow
def test_a_folder_is_recognised_by_one_key(bucket: str, received: list[int]) -> None:
    if bucket.startswith(("memory", "file")):
        pytest.skip("it has no requests")
    for n in range(40):
        storage.write(f"{bucket}/many/{n:040d}", b"x")
    if not bucket.startswith("gs"):  # whose emulator ignores maxResults
        assert len(list(remote._list(f"{bucket}/many/", True, 1))) == 1
    received.clear()
    assert storage.is_dir(f"{bucket}/many") and not storage.is_dir(f"{bucket}/man")
    if bucket.startswith("s3"):  # the other replies cannot be counted, or ignore the limit
        assert 0 < sum(received) < 2500
    assert len(storage.glob(f"{bucket}/many", "")) == 40


@pytest.mark.slow
def test_a_conditional_write_needs_the_current_version(bucket: str) -> None:
    if not bucket.startswith(("s3", "az")):
        pytest.skip("no conditional writes here")
    uri = f"{bucket}/version/a"
    assert storage.write_if(uri, b"x", '"none"') is None
    first = storage.write_if(uri, b"1", None)
    assert storage.read_version(uri) == (b"1", first)
    second = storage.write_if(uri, b"2", first)
    assert second and storage.write_if(uri, b"3", first) is None
    assert storage.read_version(uri) == (b"2", second)


@pytest.mark.slow
def test_datasets_inside_a_folder_are_not_walked(bucket: str) -> None:
    base = f"{bucket}/walked"
    for name in ("a.tar", "out/shards/b.tar", "out/_journal/x", "sub/c.tar", "_journal/y"):
        storage.write(f"{base}/{name}", b"x")
    inside = [f.uri.rpartition("walked/")[2] for f in storage.walk(base)]
    assert inside == ["a.tar", "sub/c.tar"]
    assert [f.uri[-5:] for f in storage.walk(f"{base}/out")] == ["b.tar"]


@pytest.mark.parametrize(
    ("uri", "bucket", "key"),
    [
        ("hf://datasets/org/name/data/a.tar", "datasets/org/name", "data/a.tar"),
        ("hf://datasets/org/name@v1/a.tar", "datasets/org/name@v1", "a.tar"),
        ("hf://org/name/a.tar", "org/name", "a.tar"),
        ("abfss://things@me.dfs.core.windows.net/a/b", "things@me.dfs.core.windows.net", "a/b"),
        ("memory://a", "a", ""),
    ],
)
def test_a_uri_is_split_into_bucket_and_key(uri: str, bucket: str, key: str) -> None:
    assert remote._split(uri)[1:] == (bucket, key)


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
    files = storage.glob(folder, "a[0]-")
    assert [(f.uri, f.size) for f in files] == [(f"{folder}/a[0]-{n}", 3) for n in (1, 2)]
    assert storage.glob(folder, "a*") == []
    walked = [f.uri.removeprefix(folder + "/") for f in storage.walk(folder)]
    assert walked == ["a0-1", "a[0]-1", "a[0]-2", "sub/a[0]-3"]
    assert storage.size(f"{folder}/a[0]-1") == 3
    assert storage.is_dir(folder) and not storage.is_dir(f"{folder}/a[0]-1")
    assert not storage.is_dir(f"{bucket}/nothing here")
    storage.write(f"{folder}/a?0]-1", b"x")
    storage.delete([f"{folder}/a?0]-1"])
    assert storage.exists(f"{folder}/a[0]-1")
    storage.delete_tree(folder, keep="sub")
    assert [f.uri.removeprefix(folder) for f in storage.walk(folder)] == ["/sub/a[0]-3"]
    storage.delete_tree(folder)
    assert list(storage.walk(folder)) == []
    assert storage.exists(f"{bucket}/odd 1/a[0]-5")


@pytest.mark.slow
def test_a_file_is_created_once(bucket: str) -> None:
    uri = f"{bucket}/once/file"
    if bucket.startswith("memory"):
        assert not storage.can_create(uri)
    elif not bucket.startswith("gs"):  # whose emulator ignores conditions
        assert storage.can_create(uri) and storage.create(uri, b"mine")
        assert not storage.create(uri, b"yours") and storage.read_all(uri) == b"mine"


@pytest.mark.slow
def test_a_journal_lives_on_an_object_store(bucket: str) -> None:
    output = f"{bucket}/journal"
    for key in ("a", "b"):
        journal = Journal(output)
        journal.put("caption/0123", "u", key, Entry({"says": key}, Usage(1, 2, 3)))
        journal.close()
    folder = f"{output}/_journal/caption/0123/u"  # a folder for the unit's first two digits
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
    if bucket.startswith(("memory", "file")):
        pytest.skip("it has no buckets")
    nowhere = f"{bucket[:5]}no-such-bucket-here"
    journal = Journal(nowhere)
    journal.put("caption/0123", "u", "a", Entry(1, Usage()))
    with pytest.raises(FinehardError, match="cannot write the journal") as caught:
        journal.flush()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    with pytest.raises(FinehardError):
        journal.close()


def test_a_file_that_is_being_written_is_not_listed(tmp_path: Path) -> None:
    uri = str(tmp_path / "a.json")
    with storage.writing(uri) as file:
        file.write(b"1")
        assert storage.glob(str(tmp_path), "") == []
    assert [found.uri for found in storage.glob(str(tmp_path), "")] == [uri]
