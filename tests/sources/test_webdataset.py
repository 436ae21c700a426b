"""Tars as sources: good ones whole, hostile ones as rejects, never an exception."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finehard.records import Reject
from finehard.sources import NOWHERE, Loaded, SourceConfig, SourceFile, discover, read, units
from finehard.sources.format import inspect
from tests.pictures import encoded, jpg, picture
from tests.sources.tars import (
    CONFIG,
    all_of,
    file_at,
    in_order,
    outcomes,
    parts,
    sample,
    samples,
    tar_bytes,
)

PHOTOS = Path(__file__).parents[3] / "shared" / "photos"


def zstd(data: bytes) -> bytes:
    return pa.compress(data, "zstd", asbytes=True)


def _one(tmp_path: Path, members: list, kind: int = tarfile.USTAR_FORMAT) -> Loaded | Reject:
    [item] = all_of(file_at(tmp_path / "x.tar", tar_bytes(members, kind)))
    return item


@pytest.mark.skipif(not PHOTOS.exists(), reason="no ../shared/photos beside the checkout")
def test_photographs_are_all_read_with_their_texts() -> None:
    [file] = discover(str(PHOTOS), CONFIG)
    items = all_of(file)
    assert outcomes(items) == [f"{n:09d}" for n in range(18)]
    assert all(i.record.alt_text and i.record.url for i in items)
    assert file.samples == 18


def test_bytes_lie_where_the_record_says(tmp_path: Path) -> None:
    file = file_at(tmp_path / "a.tar", tar_bytes(samples(9)))
    whole = Path(file.uri).read_bytes()
    for item in all_of(file):
        where = item.record.image
        assert whole[where.offset : where.offset + where.length] == item.data
        assert item.record.source == f"{file.uri}#{item.record.key}.jpg@{where.offset}"
        assert item.record.alt_text == f"text {item.record.key}"
        assert item.record.license == "CC0"


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_tar_format_and_long_names_are_read(tmp_path: Path, kind: int) -> None:
    long = "d" * 80 + "/" + "n" * 90  # the most that ustar can hold
    names = ["000", long] if kind == tarfile.USTAR_FORMAT else ["000", "ü" * 60, long * 3]
    members = [member for name in names for member in sample(name)]
    items = all_of(file_at(tmp_path / "a.tar", tar_bytes(members, kind)))
    assert [i.record.alt_text for i in items] == [f"text {name}" for name in names]
    assert len({i.record.key for i in items}) == len(names)
    assert all(len(i.record.key) <= 80 for i in items)


@given(st.lists(st.from_regex(r"[a-z]{1,6}", fullmatch=True), max_size=80), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_every_sample_is_in_exactly_one_unit_in_order(
    tmp_path_factory: pytest.TempPathFactory, keys: list[str], size: int
) -> None:
    data = tar_bytes([(f"{key}.jpg", b"%d" % n) for n, key in enumerate(keys)])
    file = file_at(tmp_path_factory.mktemp("t") / "a.tar", data)
    config = SourceConfig(unit_size=size)
    taken = list(units(file._replace(units=None), config))
    assert in_order(taken, file.size)
    assert [i.data for i in all_of(file, config)] == [b"%d" % n for n in range(len(keys))]
    assert len({unit.id for unit in taken}) == len(taken)
    assert file.samples == len(keys)


@pytest.mark.parametrize("index", [0, 11, 40, 99])
def test_a_sample_added_or_removed_changes_only_its_unit(tmp_path: Path, index: int) -> None:
    members = samples(100)
    whole = parts(file_at(tmp_path / "a.tar", tar_bytes(members)))
    assert len(whole) > 10
    without = members[: 3 * index] + members[3 * index + 3 :]
    fewer = parts(file_at(tmp_path / "a.tar", tar_bytes(without)))
    changed = [keys for unit, keys in whole.items() if fewer.get(unit) != keys]
    assert len(changed) <= 2  # two where the sample had been the first of its unit
    assert f"{index:03d}" in sum(changed, [])


def test_unit_ids_do_not_depend_on_the_inputs_location(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    data = tar_bytes(samples(30))
    assert parts(file_at(tmp_path / "here/a.tar", data)) == parts(
        file_at(tmp_path / "there/a.tar", data)
    )


def test_a_stem_that_comes_again_is_another_sample(tmp_path: Path) -> None:
    members = [("a.jpg", jpg(1)), ("a.jpg", jpg(2)), ("b.jpg", jpg(3)), ("a.jpg", jpg(4))]
    items = all_of(file_at(tmp_path / "a.tar", tar_bytes(members)), SourceConfig(unit_size=1))
    assert [i.data for i in items] == [data for _, data in members]
    assert (
        len(parts(file_at(tmp_path / "a.tar", tar_bytes(members)), SourceConfig(unit_size=1))) == 4
    )


def test_folders_and_leading_dots_are_no_samples(tmp_path: Path) -> None:
    folder = tarfile.TarInfo("./in/")
    folder.type = tarfile.DIRTYPE
    assert (
        _one(tmp_path, [(folder, b""), ("./in/a.jpg", jpg()), ("./in/a.txt", b"t")]).record.key
        == "in_a"
    )


def _plain(data: bytes | bytearray) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.getmembers()


def _special(name: str, kind: bytes) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info, b""


@pytest.mark.parametrize(
    "member",
    [
        _special("a.jpg", tarfile.SYMTYPE),
        _special("a.jpg", tarfile.LNKTYPE),
        _special("a.jpg", tarfile.CHRTYPE),
        _special("a.jpg", tarfile.BLKTYPE),
        _special("a.jpg", tarfile.FIFOTYPE),
        ("/etc/a.jpg", jpg()),
        ("../a.jpg", jpg()),
        ("x/../../a.jpg", jpg()),
        ("x\\..\\a.jpg", jpg()),
    ],
    ids=[
        "symlink",
        "hard link",
        "char device",
        "block device",
        "fifo",
        "absolute",
        "..",
        "inner ..",
        "backslash",
    ],
)
def test_unsafe_members_are_rejected_without_their_neighbours(
    tmp_path: Path, member: tuple
) -> None:
    file = file_at(tmp_path / "a.tar", tar_bytes([*sample("000"), member, *sample("001")]))
    before, unsafe, after = all_of(file)
    assert outcomes([before, after]) == ["000", "001"]
    assert isinstance(unsafe, Reject) and unsafe.reason == "unsafe_member"


def _sparse_header(stored: int, real: int) -> bytes:
    info = tarfile.TarInfo("big.jpg")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, stored
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386:398] = b"%011o\0" % 0
    header[398:410] = b"%011o\0" % stored
    header[483:495] = b"\x80" + real.to_bytes(11, "big")
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 256 + sum(header[156:]))
    return bytes(header)


def test_a_sparse_member_is_rejected_and_takes_no_memory(tmp_path: Path) -> None:
    data = _sparse_header(512, 10 << 30) + jpg().ljust(512)[:512]
    items = all_of(file_at(tmp_path / "a.tar", data + tar_bytes(sample("000"))))
    assert outcomes(items) == ["unsafe_member big", "000"]


def test_a_10_gb_member_is_rejected_unread(tmp_path: Path) -> None:
    info = tarfile.TarInfo("big.jpg")
    info.size = 10 << 30
    path = tmp_path / "a.tar"
    with path.open("wb") as file:  # on the disk a hole
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.seek(10 << 30, io.SEEK_CUR)
        file.write(tar_bytes(sample("000")))
    [file] = discover(str(path), CONFIG)
    assert outcomes(all_of(file)) == ["image_file_too_large big", "000"]


def test_a_member_larger_than_the_file_loses_only_itself(tmp_path: Path) -> None:
    info = tarfile.TarInfo("big.jpg")
    info.size = 10 << 30
    data = info.tobuf(tarfile.GNU_FORMAT) + tar_bytes(samples(2))
    assert outcomes(all_of(file_at(tmp_path / "a.tar", data))) == [
        "truncated_archive big",
        "000",
        "001",
    ]


@pytest.mark.parametrize("claimed", [2 << 20, 1 << 30])
def test_a_huge_pax_header_is_not_read(tmp_path: Path, claimed: int) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, claimed
    path = tmp_path / "a.tar"
    with path.open("wb") as file:
        file.write(info.tobuf())
        file.seek(claimed, io.SEEK_CUR)
        file.write(tar_bytes(sample("000")))
    [file] = discover(str(path), CONFIG)
    bad, good = all_of(file)
    assert good.record.key == "000"
    assert bad.reason == "unreadable_archive" and str(claimed) in bad.detail


@pytest.mark.parametrize(
    "body",
    [b"1" * (1 << 20), b"30 hdrcharset=BINARY\n" * 9, b"0 =\n", b"99999999999 path=x\n"],
    ids=["digits", "charset", "zero", "too long"],
)
def test_invalid_pax_headers_are_skipped_quickly(tmp_path: Path, body: bytes) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, len(body)
    data = info.tobuf() + body + bytes(-len(body) % 512) + tar_bytes(sample("000"))
    assert outcomes(all_of(file_at(tmp_path / "a.tar", data))) == ["000"]


def test_ten_thousand_chained_headers_need_no_stack(tmp_path: Path) -> None:
    info = tarfile.TarInfo("long")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 4
    data = (info.tobuf() + b"a.jp".ljust(512, b"\0")) * 10_000 + tar_bytes(sample("000"))
    assert len(all_of(file_at(tmp_path / "a.tar", data))) == 2  # a.jp, and the rest of 000


def test_a_truncated_tar_gives_whole_members_and_one_reject(tmp_path: Path) -> None:
    data = tar_bytes(samples(3))
    members = _plain(data)
    starts = [m.offset for m in members]
    ends = [m.offset_data + -(-m.size // 512) * 512 for m in members]
    images = [(m.offset_data, m.size) for m in members[::3]]
    for cut in range(0, len(data) - 1024, 97):
        items = all_of(file_at(tmp_path / "a.tar", data[:cut]))
        loaded = [i for i in items if isinstance(i, Loaded)]
        assert [i.data for i in loaded] == [data[o : o + n] for o, n in images if o + n <= cut], cut
        rejects = [i for i in items if isinstance(i, Reject)]
        between = cut in ends or cut in starts[1:]
        assert [r.reason for r in rejects] == ([] if between else ["truncated_archive"]), cut


@pytest.mark.parametrize("member", range(9))
def test_a_flipped_header_bit_loses_at_most_its_sample(tmp_path: Path, member: int) -> None:
    data = bytearray(tar_bytes(samples(3)))
    offset = _plain(data)[member].offset
    data[offset + 130] ^= 1  # in the size
    items = all_of(file_at(tmp_path / "a.tar", bytes(data)))
    keys = ["000", "001", "002"]
    if member % 3 == 0:
        keys.pop(member // 3)
    assert [i.record.key for i in items if isinstance(i, Loaded)] == keys
    [damaged] = [i for i in items if isinstance(i, Reject)]
    assert damaged.reason == "unreadable_archive" and f"at byte {offset} " in damaged.detail


def test_a_header_of_zeros_is_not_the_end(tmp_path: Path) -> None:
    data = bytearray(tar_bytes(samples(3)))
    offset = _plain(data)[3].offset
    data[offset : offset + 512] = bytes(512)
    items = all_of(file_at(tmp_path / "a.tar", bytes(data)))
    assert outcomes(items) == ["000", "unreadable_archive 001", "002"]


def test_a_zeroed_header_before_a_valid_one_is_reported(tmp_path: Path) -> None:
    data = bytearray(tar_bytes([*sample("000"), ("001.txt", b""), *sample("002")]))
    offset = _plain(data)[3].offset
    data[offset : offset + 512] = bytes(512)
    items = all_of(file_at(tmp_path / "a.tar", bytes(data)))
    assert outcomes(items) == ["000", f"unreadable_archive a_tar_{offset}", "002"]


def test_tars_set_one_after_the_other_are_read_on(tmp_path: Path) -> None:
    data = tar_bytes(sample("000")) + tar_bytes(sample("001"))
    assert outcomes(all_of(file_at(tmp_path / "a.tar", data))) == ["000", "001"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x1f\x8b\x08" + bytes(range(256)) * 4, "the gzip stream is damaged"),
        (b"BZh91AY" + bytes(range(256)) * 4, "the bzip2 stream is damaged"),
        (b"PK\x03\x04" + bytes(range(256)) * 4, "zip"),
        (b"", "empty"),
        (b"not a tar " * 200, "damaged header"),
        (b"short", "middle of a block"),
    ],
    ids=["gzip", "bzip2", "zip", "empty", "text", "short"],
)
def test_a_file_that_is_no_tar_is_one_reject_that_says_so(
    tmp_path: Path, data: bytes, says: str
) -> None:
    [item] = all_of(file_at(tmp_path / "a.tar", data))
    assert isinstance(item, Reject) and says in item.detail


def test_imageless_members_are_rejected_and_no_pickle_is_read(tmp_path: Path) -> None:
    class Boom:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "ran",))

    bomb = pickle.dumps(Boom())
    members = [
        ("a.pyd", bomb),
        ("b.jpg", jpg()),
        ("b.pyd", bomb),
        ("b.pth", bomb),
        ("c.json", b"{}"),
    ]
    items = all_of(file_at(tmp_path / "a.tar", tar_bytes(members)))
    assert outcomes(items) == ["missing_image a", "b", "missing_image c"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "meta",
    [
        b"[" * 100_000,
        b'{"caption": NaN, "url": 1e999}',
        b'{"caption": ["x"], "url": {"a": 1}}',
        b'{"caption": ' + b"9" * 5000 + b"}",
        b'"text"',
        b"\xff\xfe\x00",
        b"{" + b" " * (5 << 20) + b"}",
        b"",
    ],
    ids=lambda meta: repr(meta[:20]),
)
def test_invalid_json_loses_only_itself(tmp_path: Path, meta: bytes) -> None:
    item = _one(tmp_path, [("a.jpg", jpg()), ("a.json", meta)])
    assert isinstance(item, Loaded)
    assert item.record.alt_text is None and item.record.url is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"a\0b", "ab"),
        (b"\xed\xa0\x80 half", "\ufffd\ufffd\ufffd half"),
        ("‮ rtl 😀".encode(), "‮ rtl 😀"),
        (b"x" * (1 << 20), "x" * 10_000),
        (b" \n ", None),
    ],
    ids=["null", "surrogate", "marks", "1 MB", "blank"],
)
def test_texts_are_cleaned_and_bounded(tmp_path: Path, text: bytes, expected: str | None) -> None:
    item = _one(tmp_path, [("a.jpg", jpg()), ("a.txt", text)])
    assert item.record.alt_text == expected
    caption = json.dumps({"caption": "\ud800 x\0y"}).encode()
    assert _one(tmp_path, [("a.jpg", jpg()), ("a.json", caption)]).record.alt_text == "? xy"


def test_several_images_of_one_stem_are_a_sample_each(tmp_path: Path) -> None:
    png = encoded(picture(), "PNG")
    members = [("a.PNG", png), ("a.JPG", jpg()), ("a.TXT", b"t"), ("b.jpg", jpg(1))]
    first, second, third = all_of(file_at(tmp_path / "a.tar", tar_bytes(members)))
    assert [first.data, second.data, third.data] == [png, jpg(), jpg(1)]
    assert [i.record.alt_text for i in (first, second, third)] == ["t", "t", None]
    assert outcomes([first, second, third]) == ["a", "a", "b"]


def test_names_with_more_dots_are_samples_with_their_texts(tmp_path: Path) -> None:
    members = [("a.v2.jpg", jpg(1)), ("a.v2.txt", b"one"), ("www.site.com_17.JPG", jpg(3))]
    members += [(f"IMG 1.{n}.jpg", jpg(10 + n)) for n in range(5)]
    members += [("b.left.png", jpg(4)), ("b.right.png", jpg(5)), ("b.txt", b"both")]
    items = all_of(file_at(tmp_path / "a.tar", tar_bytes(members)))
    assert [i.data for i in items] == [data for name, data in members if not name.endswith("txt")]
    assert [i.record.alt_text for i in items] == ["one", *[None] * 6, "both", "both"]
    assert outcomes(items) == ["a_v2", "www_site_com_17", *(f"IMG_1_{n}" for n in range(5)),
                               "b_left", "b_right"]  # fmt: skip


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "a.1", "a.2", "x y.z", "."]),
            st.sampled_from([".jpg", ".PNG", ".gif", ".txt", ".json", ".cls", ".seg.png", ""]),
        ),
        max_size=200,
    ),
    st.integers(1, 9),
)
@settings(max_examples=80, deadline=None)
def test_every_image_in_a_tar_is_read_whatever_its_name(
    tmp_path_factory: pytest.TempPathFactory, names: list[tuple[str, str]], size: int
) -> None:
    data = tar_bytes([(f"{a}{b}", b"%d" % n) for n, (a, b) in enumerate(names)])
    path = tmp_path_factory.getbasetemp() / "named.tar"
    path.write_bytes(data)
    file = SourceFile("tar", str(path), "a.tar", len(data))
    items = all_of(file, SourceConfig(unit_size=size))
    images = [n for n, (_, suffix) in enumerate(names)
              if suffix.lower() in (".jpg", ".png", ".gif", ".seg.png")]  # fmt: skip
    assert [i.data for i in items if isinstance(i, Loaded)] == [b"%d" % n for n in images]
    assert outcomes(items) == outcomes(all_of(file, SourceConfig(unit_size=10_000)))


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz", ".tar"])
def test_compressed_tars_are_read(tmp_path: Path, suffix: str) -> None:
    packers = {"gz": gzip.compress, "zst": zstd, "bz2": bz2.compress, "xz": lzma.compress}
    pack = next((p for end, p in packers.items() if suffix.endswith(end)), gzip.compress)
    data = tar_bytes(samples(9))
    file = file_at(tmp_path / f"a{suffix}", pack(data))
    items = all_of(file)
    assert outcomes(items) == [f"{n:03d}" for n in range(9)] and file.samples == 9
    assert [i.data for i in items] == [jpg(n) for n in range(9)]
    assert {i.record.image for i in items} == {NOWHERE}
    assert [i.record.alt_text for i in items] == [f"text {n:03d}" for n in range(9)]


@pytest.mark.parametrize("pack", [gzip.compress, zstd, bz2.compress, lzma.compress])
def test_a_cut_compressed_tar_is_told_after_its_samples(tmp_path: Path, pack: Callable) -> None:
    data = b"".join(tar_bytes([(f"{n:03d}.bin.jpg", os.urandom(400_000))])[:-1024]
                    for n in range(9))  # fmt: skip
    packed = pack(data)
    for cut in (len(packed) // 2, len(packed) - 4):
        items = all_of(file_at(tmp_path / "a.tar", packed[:cut]))
        last = items[-1]
        assert isinstance(last, Reject) and last.reason == "truncated_archive"
        assert "stream is damaged" in last.detail
        assert outcomes(items)[:3] == ["000_bin", "001_bin", "002_bin"]


@pytest.mark.parametrize(
    "stats",
    [
        '{"successes": 1e400}',
        '{"successes": 99999999999}',
        '{"successes": "x"}',
        "[" * 9999,
        "{}",
        '{"successes": 0}',
    ],
)
def test_a_tars_statistics_file_is_not_trusted(tmp_path: Path, stats: str) -> None:
    (tmp_path / "a_stats.json").write_text(stats)
    file = file_at(tmp_path / "a.tar", tar_bytes(samples(5)))
    assert file.samples == 5


def test_a_tar_that_goes_away_is_a_reject(tmp_path: Path) -> None:
    file = file_at(tmp_path / "a.tar", tar_bytes(samples(3)))
    [unit, *_] = units(file, CONFIG)
    Path(file.uri).unlink()
    assert outcomes(read(unit, CONFIG)) == ["unreadable_archive a_tar_0"]
    assert inspect(file._replace(samples=None, units=None), CONFIG).samples == 1


def _checked(path: Path, data: bytes) -> list[Loaded | Reject]:
    """Reads hostile `data` twice, by units and whole, and holds both to the same."""
    path.write_bytes(data)
    file = SourceFile("tar", str(path), "a.tar", len(data))
    items = all_of(file, SourceConfig(unit_size=2))
    assert len({unit.id for unit in units(file, SourceConfig(unit_size=2))}) == len(
        list(units(file, SourceConfig(unit_size=2)))
    )
    assert outcomes(items) == outcomes(all_of(file, SourceConfig(unit_size=10_000)))
    assert inspect(file, CONFIG).samples == len(items)
    sources = [i.source if isinstance(i, Reject) else i.record.source for i in items]
    assert len(set(sources)) == len(sources)
    assert "\ud800" not in "".join(sources).encode("utf-8", "strict").decode()
    return items


@given(st.binary(max_size=4096), st.booleans())
@settings(max_examples=150, deadline=None)
def test_random_bytes_never_raise(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, good_after: bool
) -> None:
    padded = noise + bytes(-len(noise) % 512)
    data = padded + tar_bytes(sample("000")) if good_after else noise
    items = _checked(tmp_path_factory.getbasetemp() / "noise.tar", data)
    if noise:
        assert items


_GOOD = tar_bytes([*samples(3), *sample("x" * 120)], tarfile.PAX_FORMAT) + tar_bytes(
    [*sample("y" * 120)], tarfile.GNU_FORMAT
)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_mutations_of_a_good_tar_never_raise(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    mutated = bytearray(_GOOD)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(mutated) // 512)) * 512 + data.draw(
            st.sampled_from([0, 1, 124, 130, 148, 156, 157, 257, 345, 482]) | st.integers(0, 511)
        )
        new = data.draw(st.binary(min_size=1, max_size=8) | st.just(b"\0" * 512))
        if data.draw(st.booleans()):
            mutated[at : at + len(new)] = new
        else:
            del mutated[at : at + len(new)]
    _checked(tmp_path_factory.getbasetemp() / "mutated.tar", bytes(mutated))


def test_memory_stays_bounded_over_a_million_empty_members(tmp_path: Path) -> None:
    header = tarfile.TarInfo("a.x").tobuf()
    path = tmp_path / "a.tar"
    with path.open("wb") as file:
        for _ in range(60):
            file.write(header * 1000)
    program = (
        "import resource, sys\n"
        "from finehard.sources import SourceConfig, discover, units, read\n"
        "[file] = discover(sys.argv[1], SourceConfig())\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "n = sum(1 for u in units(file, SourceConfig()) for _ in read(u, SourceConfig()))\n"
        "print(n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    out = subprocess.check_output([sys.executable, "-c", program, str(path)], text=True)
    number, grown = map(int, out.split())
    assert number == 60_000 and grown * 1024 < 20 << 20
