"""Build, report, show and trainer see the same picture, or reject it for the same reason."""

from __future__ import annotations

import io
import json
import random
import struct
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from finehard.dataset.reader import open_dataset
from finehard.fgclip.batch import Skipped
from finehard.fgclip.data import Read, Source
from finehard.fgclip.reader import find_shards
from finehard.fgclip.sampler import SampleIndex
from finehard.fgclip.targets import SampleConfig
from finehard.fgclip.transform import _resize, square
from finehard.images import MEMBERS, ImageError, ImagesConfig, decode, header, load, stored
from finehard.report.pictures import SIDE, draw_boxes, thumbnail
from tests.images import grid, tiffs
from tests.pictures import encoded, picture

ANY = ImagesConfig(min_side=1)
MODEL = 32


def dataset(folder: Path, images: Iterable[bytes], kind: str = "jpg") -> Path:
    """A folder with one tar of `images`, numbered, called .`kind`, without regions."""
    with tarfile.open(folder / "a.tar", "w") as tar:
        for number, data in enumerate(images):
            text = json.dumps({"short_caption": "a", "long_caption": "b", "regions": []}).encode()
            # the suffix says little: a file is opened by its content
            for suffix, member in ((kind, data), ("json", text)):
                info = tarfile.TarInfo(f"{number:05d}.{suffix}")
                info.size = len(member)
                tar.addfile(info, io.BytesIO(member))
    return folder


def difference(first: Image.Image, second: Image.Image) -> int:
    """The largest difference between two images, after the trainer's resize."""
    one, two = (_resize(image, (MODEL, MODEL)).astype(int) for image in (first, second))
    return int(np.abs(one - two).max())


def check(folder: Path, cases: list[grid.Case]) -> None:
    """Every part shows each case as the truth has it, within 2 grey levels."""
    shards = find_shards([str(dataset(folder, (case.data for case in cases)))])
    source = Source(shards, SampleConfig(), MODEL, 0, 1.0)
    opened = open_dataset(folder)
    for number, (case, sample) in enumerate(zip(cases, opened, strict=True)):
        built = decode(case.data, ANY).pixels
        assert built.mode == "RGB", case.name
        assert header(case.data, ANY)[1:] == built.size == case.upright.size, case.name
        in_shard = stored(case.data, ANY)
        assert in_shard.header[0] in MEMBERS and in_shard.header[1:] == built.size, case.name
        assert header(in_shard.data, ANY) == in_shard.header, case.name
        assert difference(decode(in_shard.data, ANY).pixels, built) == 0, case.name
        assert difference(built, case.upright) <= 2, case.name
        assert difference(sample.image(SIDE), built) == 0, case.name  # report
        drawn = draw_boxes(sample)  # show enlarges small images
        assert difference(drawn, built.resize(drawn.size)) <= 2, case.name
        read = source.read(SampleIndex(0, number), 0)
        assert isinstance(read, Read), (case.name, read)
        wanted = _resize(built, (MODEL, MODEL)).astype(int)
        assert np.abs(read.pixels.astype(int) - wanted).max() <= 2, case.name


def test_every_png_is_one_picture_to_all(tmp_path: Path) -> None:
    check(tmp_path, list(grid.pngs())[::7])


@pytest.mark.full
def test_the_whole_grid_of_pngs_is_one_picture_to_all(tmp_path: Path) -> None:
    check(tmp_path, list(grid.pngs()))


def test_every_jpeg_webp_and_avif_is_one_picture_to_all(tmp_path: Path) -> None:
    check(tmp_path, list(grid.others()))


def test_every_tiff_is_one_picture_to_all(tmp_path: Path) -> None:
    check(tmp_path, list(tiffs.tiffs())[::7])


@pytest.mark.full
def test_the_whole_grid_of_tiffs_is_one_picture_to_all(tmp_path: Path) -> None:
    check(tmp_path, list(tiffs.tiffs()))


def test_formats_without_orientation_are_one_picture_to_all(tmp_path: Path) -> None:
    check(tmp_path, list(grid.plain()))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_large_transparent_images_are_one_picture(tmp_path: Path, kind: str) -> None:
    """Scaled after it is composited, in the report as in the trainer."""
    logo = picture(900, 700).convert("RGBA")
    alpha = np.asarray(Image.radial_gradient("L").resize(logo.size)) > 90
    logo.putalpha(Image.fromarray(alpha.astype(np.uint8) * 255))
    data = encoded(logo, kind, lossless=True)
    [sample] = open_dataset(dataset(tmp_path, [data]))
    whole, shown = decode(data, ANY).pixels, sample.image(SIDE)
    scaled = whole.resize(shown.size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    assert np.abs(np.asarray(scaled, int) - np.asarray(shown, int)).max() <= 2


def _reject(use: Callable[[], object]) -> str | None:
    """The reason for which the image is rejected; None where it is not."""
    try:
        use()
    except ImageError as error:
        return error.reason
    return None


def agree(data: bytes) -> bool:
    """Whether the image was decoded, in which build, report and trainer must agree."""
    reasons = {
        _reject(lambda: decode(data, ANY)),
        _reject(lambda: decode(data, ImagesConfig(min_side=1, max_side=SIDE))),
        _reject(lambda: square(data, MODEL, "squash", [])),
    }
    assert len(reasons) == 1
    if reasons != {None}:
        return False
    built = load(data, ANY)
    assert header(data, ANY)[1:] == built.size
    trained = square(data, MODEL, "squash", [], False)[0].astype(int)
    assert np.abs(trained - _resize(built, (MODEL, MODEL))).max() <= 2
    return True


def damaged(data: bytes, chance: random.Random, first: int = 2, last: int | None = None) -> bytes:
    """`data` with up to six bytes or stretches of [first, last) replaced, removed or doubled."""
    changed, last = bytearray(data), len(data) if last is None else last
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(first, max(first + 1, min(last, len(changed))))
        length = chance.choice((1, 1, 2, 4, 16))
        match chance.randrange(4):
            case 0:
                changed[at : at + length] = chance.randbytes(length)
            case 1:
                changed[at : at + length] = b"\xff" * length
            case 2 if last == len(data):
                del changed[at : at + length]
            case _:
                changed[at : at + 1] = bytes([changed[at] ^ 1 << chance.randrange(8)])
    return bytes(changed)


def _fuzz_exif(count: int) -> None:
    chance = random.Random(20)
    good = [b"Exif\0\0" + grid.tiff(6, kind) for kind in ("short", "long", "text", "rational")]
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x011A], exif[0x0128] = 6, "a text", 72.0, 2
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    good.append(exif.tobytes())
    for number in range(count):
        block = damaged(chance.choice(good), chance, 6)
        kind = ("JPEG", "PNG", "WEBP")[number % 3]
        data = encoded(picture(MODEL, MODEL - 8), kind, exif=block)
        if kind == "JPEG" and chance.random() < 0.5:  # no JFIF: the resolution is read from EXIF
            data = data[:2] + data[4 + int.from_bytes(data[4:6], "big") :]
        assert agree(data), block  # no metadata costs a picture


def _clear() -> Image.Image:
    clear = picture(MODEL, MODEL - 8).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    return clear


def _usual() -> list[bytes]:
    """JPEGs, PNGs and WebPs."""
    return [
        *(encoded(picture(MODEL, MODEL - 8), kind, exif=b"Exif\0\0" + grid.tiff(6))
          for kind in ("JPEG", "PNG", "WEBP")),
        encoded(picture(MODEL, MODEL - 8), progressive=True),
        encoded(_clear(), "PNG"),
        encoded(_clear(), "WEBP"),
        encoded(_clear().convert("RGB").quantize(9), "PNG", transparency=3),
        next(iter(grid.pngs())).data,
    ]  # fmt: skip


def _others() -> list[bytes]:
    """Images of all other formats that are read."""
    clear, two = _clear(), {"save_all": True, "append_images": [picture(MODEL, MODEL - 8, 1)]}
    bits, plain = clear.convert("1"), clear.convert("RGB")
    return [
        *(encoded(clear, kind) for kind in ("AVIF", "JPEG2000", "TIFF")),
        *(encoded(plain, kind) for kind in ("BMP", "GIF", "PPM")),
        *(encoded(plain, kind, **two) for kind in ("AVIF", "GIF", "TIFF")),
        *(encoded(clear, "TIFF", compression=c) for c in ("tiff_lzw", "tiff_adobe_deflate")),
        *(encoded(bits, "TIFF", compression=c) for c in ("group4", "packbits")),
        encoded(clear.convert("YCbCr"), "TIFF", compression="jpeg"),
        encoded(plain, "TIFF", big_tiff=True),
        next(iter(tiffs.tiffs())).data,
    ]


def _fuzz_streams(good: list[bytes], count: int) -> int:
    chance = random.Random(21)
    return sum(agree(damaged(good[n % len(good)], chance)) for n in range(count))


def test_damaged_exif_costs_no_picture() -> None:
    _fuzz_exif(150)


def test_all_agree_on_damaged_files() -> None:
    assert 10 < _fuzz_streams(_usual(), 200) < 190
    assert 10 < _fuzz_streams(_others(), 200) < 190


@pytest.mark.full
def test_6000_damaged_exif_blocks_cost_no_picture() -> None:
    _fuzz_exif(6000)


@pytest.mark.full
def test_all_agree_on_6000_damaged_jpegs_pngs_and_webps() -> None:
    assert 300 < _fuzz_streams(_usual(), 6000) < 5700


@pytest.mark.full
def test_all_agree_on_6000_damaged_files_of_other_formats() -> None:
    assert 300 < _fuzz_streams(_others(), 6000) < 5700


@pytest.mark.parametrize("suffix", ["gif", "tif", "BMP", "avif", "jpe", "jp2"])
def test_shards_of_others_may_hold_every_format(tmp_path: Path, suffix: str) -> None:
    folder = dataset(tmp_path, [encoded(picture(), "GIF")], suffix)
    assert isinstance(_trained(folder), Read)
    [sample] = open_dataset(folder)
    assert sample.image().size == draw_boxes(sample, 40).resize((40, 30)).size == (40, 30)


def test_the_rest_of_an_animation_or_document_is_found() -> None:
    for kind in ("GIF", "TIFF", "AVIF", "PNG", "WEBP"):
        one = encoded(picture(), kind, quality=95)
        two = encoded(picture(), kind, save_all=True, append_images=[picture(seed=1)], quality=95)
        assert [stored(data, ANY).has_more for data in (one, two)] == [False, True], kind
        assert difference(load(two, ANY), load(one, ANY)) <= 12, kind  # lossy


def test_damaged_later_frames_cost_no_picture() -> None:
    for kind in ("GIF", "TIFF"):
        data = encoded(picture(), kind, save_all=True, append_images=[picture(seed=1)])
        assert agree(data[: len(data) * 2 // 3]), kind


def test_damaged_metadata_of_an_avif_costs_no_picture() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a text"
    good = encoded(picture(), "AVIF", exif=exif)
    for changed in (b"garb", b"II*\0\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff"):
        at = good.index(b"MM\0*")
        data = good[:at] + changed + good[at + len(changed) :]
        assert agree(data) and header(data, ANY)[1:] == (30, 40)  # the container says it too


def test_a_png_beyond_max_bytes_is_a_reject() -> None:
    data = encoded(picture(200, 150), "JPEG2000", irreversible=True, quality_layers=[200])
    assert stored(data, ImagesConfig())
    with pytest.raises(ImageError, match="bytes as PNG") as refused:
        stored(data, ImagesConfig(max_bytes=len(data)))
    assert refused.value.reason == "image_file_too_large"


@pytest.mark.parametrize("tag", [254, 50706], ids=["reduced", "DNG"])
def test_previews_of_raw_files_are_rejects(tag: int) -> None:
    data = encoded(picture(), "TIFF", tiffinfo={tag: 1})
    with pytest.raises(ImageError, match="raw file"):
        stored(data, ANY)


@pytest.mark.parametrize("compression", ["tiff_ccitt", "group3", "group4"])
def test_faxes_are_rejects(compression: str) -> None:
    """Of damaged ones libtiff shows other pixels each time."""
    with pytest.raises(ImageError, match="fax"):
        stored(encoded(picture().convert("1"), "TIFF", compression=compression), ANY)


def test_a_tiff_without_all_of_its_page_is_a_reject() -> None:
    data = encoded(picture(40, 30), "TIFF", tiffinfo={278: 30})
    at = data.index(struct.pack("<HHII", 257, 4, 1, 30))
    longer = data[: at + 8] + struct.pack("<I", 3000) + data[at + 12 :]
    with pytest.raises(ImageError, match="all strips"):
        stored(longer, ANY)


def test_a_jpeg_in_a_tiff_must_have_its_size() -> None:
    data = encoded(picture(100, 80), "TIFF", compression="jpeg")
    assert agree(data)
    head, width = struct.pack("<H", 256), struct.pack("<II", 1, 100)
    at = data.index(head, data.index(b"\xff\xd9"))
    assert data[at + 4 : at + 12] == width
    wide = data[: at + 8] + b"\x65" + data[at + 9 :]
    with pytest.raises(ImageError, match="of another size"):
        stored(wide, ANY)


def _with_limit(folder: Path, most: int) -> None:
    manifest = {"counts": {}, "shards": [], "config": {"images": {"max_pixels": most}}}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def _trained(folder: Path) -> Read | Skipped:
    source = Source(find_shards([str(folder)]), SampleConfig(), MODEL, 0, 1.0)
    return source.read(SampleIndex(0, 0), 0)


def test_the_limits_are_those_of_the_datasets_manifest(tmp_path: Path) -> None:
    folder = dataset(tmp_path, [encoded(picture(), "PNG")])
    assert isinstance(_trained(folder), Read)
    _with_limit(folder, 1199)
    assert isinstance(skipped := _trained(folder), Skipped) and "40 x 30" in skipped.reason
    [sample] = open_dataset(folder)
    for use in (sample.image, lambda: draw_boxes(sample)):
        with pytest.raises(ImageError, match="40 x 30"):
            use()
    assert thumbnail(sample, 10_000) is None


@pytest.mark.slow
def test_max_pixels_above_pillows_limit_hold_for_all(tmp_path: Path) -> None:
    folder = dataset(tmp_path, [encoded(Image.new("1", (13_400, 13_400)), "PNG")])
    assert isinstance(skipped := _trained(folder), Skipped) and "13400 x" in skipped.reason
    _with_limit(folder, 10**9)
    assert isinstance(_trained(folder), Read)
    [sample] = open_dataset(folder)
    assert sample.image(SIDE).size == (SIDE, SIDE)
    assert draw_boxes(sample).size == (1600, 1600)
