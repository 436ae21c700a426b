"""Images from untrusted bytes."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from finehard.images import ImageError, ImagesConfig, as_sent, cut_out, decode, header
from finehard.records import WHOLE
from finehard.worker.images import Images
from tests.pictures import encoded, jpg, picture, record

CONFIG = ImagesConfig()
_KINDS = [
    ("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("MPO", "jpg"), ("AVIF", "avif"),
    ("BMP", "bmp"), ("GIF", "gif"), ("JPEG2000", "jp2"), ("PPM", "ppm"), ("TIFF", "tiff"),
]  # fmt: skip


def _refused(data: bytes, config: ImagesConfig = CONFIG) -> str:
    """Returns the reason for which `header` or `decode` rejects `data`."""
    with pytest.raises(ImageError) as refused:
        header(data, config)
        decode(data, config)
    assert "\n" not in refused.value.detail and len(refused.value.detail) <= 200
    return refused.value.reason


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _near(first: Image.Image, second: Image.Image, by: float = 6) -> bool:
    assert first.size == second.size
    return bool(np.abs(np.asarray(first, int) - np.asarray(second, int)).mean() < by)


@pytest.mark.parametrize(("kind", "suffix"), _KINDS)
def test_every_format_opens_in_a_fresh_process(tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / "x"
    options = {"save_all": True, "append_images": [picture(seed=1)]} if kind == "MPO" else {}
    path.write_bytes(encoded(picture(), kind, **options))
    program = (
        "import sys; from finehard.images import *\n"
        "d = open(sys.argv[1], 'rb').read()\n"
        "print(header(d, ImagesConfig()), decode(d, ImagesConfig()).pixels.size)"
    )
    out = subprocess.check_output([sys.executable, "-c", program, str(path)], text=True)
    assert out.strip() == f"Header(format='{suffix}', width=40, height=30) (40, 30)"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_applied_as_by_pillow(kind: str, orientation: int) -> None:
    data = encoded(picture(), kind, exif=_exif(orientation))
    right = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    pixels = decode(data, CONFIG).pixels
    assert header(data, CONFIG)[1:] == pixels.size == right.size
    assert _near(pixels, right, 1)
    assert decode(data, CONFIG).sendable == (kind == "JPEG" and orientation == 1)
    # also when it is scaled down
    small = ImagesConfig(max_side=20)
    assert _near(decode(data, small).pixels, right.resize(decode(data, small).pixels.size), 12)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_exif_after_png_pixels_is_applied() -> None:
    plain = encoded(picture(), "PNG")
    late = plain[:-12] + _chunk(b"eXIf", _exif(6).tobytes()[6:]) + plain[-12:]
    assert header(late, CONFIG)[1:] == (30, 40) == decode(late, CONFIG).pixels.size
    right = ImageOps.exif_transpose(Image.open(io.BytesIO(late)))
    assert _near(decode(late, CONFIG).pixels, right, 1)


def test_png_header_is_read_without_decoding_pixels() -> None:
    data = encoded(picture(), "PNG")
    at = data.index(b"IDAT")
    broken = data[: at + 8] + bytes(20) + data[at + 28 :]
    assert header(broken, CONFIG)[1:] == (40, 30)
    assert _refused(broken) == "truncated_image"


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01" * 600]
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_does_not_cost_the_image(kind: str, exif: bytes) -> None:
    data = encoded(picture(), kind, exif=exif)
    assert header(data, CONFIG)[1:] == decode(data, CONFIG).pixels.size == (40, 30)


def _tiff(tag: int, kind: int, count: int, value: bytes, rest: bytes = b"") -> bytes:
    """EXIF data with one tag, whose value is inline; `rest` begins at offset 26."""
    entry = struct.pack("<HHI", tag, kind, count) + value
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4) + rest


_RATIONAL_6 = _tiff(0x0112, 5, 1, struct.pack("<I", 26), struct.pack("<II", 6, 1))


@pytest.mark.parametrize(
    "exif", [_tiff(0x0112, 2, 2, b"6\0\0\0"), _RATIONAL_6], ids=["text", "rational"]
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_orientation_may_be_text_or_rational(kind: str, exif: bytes) -> None:
    data = encoded(picture(), kind, exif=exif)
    upright = Image.open(io.BytesIO(data)).convert("RGB").transpose(Image.Transpose.ROTATE_270)
    assert header(data, CONFIG)[1:] == (30, 40)
    assert _near(decode(data, CONFIG).pixels, upright, 1)
    assert not decode(data, CONFIG).sendable


@pytest.mark.parametrize(
    "exif",
    [
        _tiff(0x0112, 2, 2, b"x\0\0\0"),
        _tiff(0x0112, 3, 1, struct.pack("<I", 9)),
        _tiff(0x0112, 5, 1, struct.pack("<I", 26), struct.pack("<II", 6, 0)),
        _tiff(0x0112, 5, 1, struct.pack("<I", 26), struct.pack("<II", 13, 2)),
    ],
)
def test_unusable_orientations_are_ignored(exif: bytes) -> None:
    assert header(encoded(picture(), exif=exif), CONFIG)[1:] == (40, 30)


def _without_jfif(data: bytes) -> bytes:
    return data[:2] + data[4 + int.from_bytes(data[4:6], "big") :]


def test_exif_that_stops_pillow_does_not_cost_the_image() -> None:
    # Without JFIF, Pillow takes the resolution from EXIF; empty text there is an IndexError.
    entries = struct.pack("<HHI4s", 0x0112, 3, 1, b"\6\0\0\0")
    entries += struct.pack("<HHI4s", 0x011A, 2, 1, bytes(4))
    entries += struct.pack("<HHI4s", 0x0128, 3, 1, b"\2\0\0\0")
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 3) + entries + bytes(4)
    data = _without_jfif(encoded(picture(), exif=exif))
    with pytest.raises((OSError, ImportError)):  # ultralytics, where imported, asks for pi_heif
        Image.open(io.BytesIO(data))
    assert header(data, CONFIG)[1:] == (30, 40)
    decoded = decode(data, CONFIG)
    assert _near(decoded.pixels, picture().transpose(Image.Transpose.ROTATE_270))
    assert not decoded.sendable


@given(st.lists(st.tuples(
    st.sampled_from([0x0112, 0x011A, 0x0128, 0x8769, 0x8825, 0x927C]),
    st.integers(0, 14),
    st.sampled_from([0, 1, 2, 4, 1000, 2**31]),
    st.binary(min_size=4, max_size=4),
), max_size=5), st.binary(max_size=40), st.booleans())  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_no_exif_data_loses_an_image(tags: list, rest: bytes, jfif: bool) -> None:
    entries = b"".join(struct.pack("<HHI4s", *tag) for tag in tags)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + rest
    for kind in ("JPEG", "PNG", "WEBP"):
        data = encoded(picture(), kind, exif=exif)
        data = data if jfif or kind != "JPEG" else _without_jfif(data)
        assert header(data, CONFIG)[1:] == decode(data, CONFIG).pixels.size


def test_huge_exif_is_read() -> None:
    exif = _exif(6)
    exif[0x010E] = "x" * 60_000
    assert header(encoded(picture(), exif=exif), CONFIG)[1:] == (30, 40)
    exif[0x010E] = "x" * 3_000_000
    data = encoded(picture(), "PNG", exif=exif)
    assert header(data, CONFIG)[1:] == decode(data, CONFIG).pixels.size == (30, 40)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not_an_image"),
        (b"\0" * 1000, "not_an_image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_an_image"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "not_an_image"),
        (b"\xff\xd8\xff\xe0", "not_an_image"),
        (encoded(picture(), "ICO"), "not_an_image"),
        (encoded(picture().convert("F"), "TIFF"), "not_an_image"),
        (b"\0\0\0\x18ftypheic" + bytes(99), "not_an_image"),
        (encoded(picture(1, 1), "PNG"), "image_too_small"),
        (encoded(picture(15, 400)), "image_too_small"),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_non_images_are_rejected_with_a_reason(data: bytes, reason: str) -> None:
    assert _refused(data) == reason


@pytest.mark.parametrize(("kind", "_"), _KINDS[:3])
def test_truncated_images_are_rejected(kind: str, _: str) -> None:
    data = encoded(picture(64, 48), kind)
    for cut in range(0, len(data) - len(data) // 10, 7):
        assert _refused(data[:cut]) in ("truncated_image", "not_an_image")


def test_limits_are_enforced() -> None:
    assert _refused(jpg(), ImagesConfig(max_bytes=100)) == "image_file_too_large"
    assert _refused(jpg(), ImagesConfig(max_pixels=1199)) == "image_too_large"
    assert header(jpg(), ImagesConfig(max_pixels=1200))


def test_max_pixels_may_exceed_pillows_own_limit() -> None:
    data = encoded(Image.new("L", (20_000, 10_000), 200))
    assert _refused(data) == "image_too_large"
    config = ImagesConfig(max_pixels=200_000_000)
    assert header(data, config)[1:] == (20_000, 10_000)
    assert decode(data, config).pixels.size == (1024, 512)


def test_very_wide_images_are_accepted() -> None:
    data = encoded(Image.new("RGB", (65_000, 20), "red"))
    decoded = decode(data, CONFIG)
    assert header(data, CONFIG)[1:] == (65_000, 20)
    assert decoded.pixels.size[0] == 1024 and decoded.pixels.getpixel((500, 0))[0] > 200
    png = encoded(Image.new("L", (65_535, 16)), "PNG")
    assert header(png, CONFIG)[1:] == (65_535, 16) and decode(png, CONFIG).pixels.size == (1024, 1)


def _png(width: int, height: int, rest: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + rest + _chunk(b"IEND", b"")


def _bombs() -> dict[str, bytes]:
    rows = zlib.compress(bytes(100_000_000), 9)
    canvas = struct.pack("<I", 0x10)[:4] + (16_383).to_bytes(3, "little") * 2
    body = b"WEBPVP8X" + struct.pack("<I", 10) + canvas
    still = encoded(picture(), "WEBP")[12:]
    webp = b"RIFF" + struct.pack("<I", len(body) + len(still)) + body + still
    text = zlib.compress(bytes(300_000_000), 9)
    return {
        "png": _png(50_000, 50_000, _chunk(b"IDAT", rows)),
        "webp": webp,
        "jpeg": jpg().replace(struct.pack(">HH", 30, 40), struct.pack(">HH", 50_000, 50_000)),
        "text": _png(64, 64, _chunk(b"zTXt", b"a\0\0" + text) + _chunk(b"IDAT", rows[:5000])),
        "profile": _png(64, 64, _chunk(b"iCCP", b"a\0\0" + text) + _chunk(b"IDAT", rows[:5000])),
        "rows": _png(64, 64, _chunk(b"IDAT", rows)),
    }


@pytest.mark.parametrize("bomb", ["png", "webp", "jpeg", "text", "profile", "rows"])
def test_decompression_bombs_need_less_than_200_mb(tmp_path: Path, bomb: str) -> None:
    (tmp_path / "bomb").write_bytes(_bombs()[bomb])
    program = """
import resource, sys
from finehard.images import *
data = open(sys.argv[1], 'rb').read()
decode(open(sys.argv[2], 'rb').read(), ImagesConfig())  # imports and caches are filled
used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20),) * 2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    header(data, ImagesConfig()); decode(data, ImagesConfig()); print('taken')
except ImageError as error:
    print(error.reason)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    (tmp_path / "fine").write_bytes(encoded(picture(), "WEBP"))
    command = [sys.executable, "-c", program, str(tmp_path / "bomb"), str(tmp_path / "fine")]
    reason, grown = subprocess.check_output(command, text=True).split()
    assert reason in ("image_too_large", "not_an_image", "truncated_image", "taken")
    assert bomb not in ("png", "webp", "jpeg") or reason == "image_too_large"
    assert int(grown) < 200


@pytest.mark.parametrize("kind", ["PNG"])
def test_16_bit_grey_keeps_its_brightness(kind: str) -> None:
    values = np.linspace(0, 65535, 40 * 30).reshape(30, 40).astype(np.uint16)
    pixels = decode(encoded(Image.fromarray(values), kind), CONFIG).pixels
    assert pixels.mode == "RGB"
    assert (np.asarray(pixels) == (values >> 8)[..., None]).all()


def _palette() -> Image.Image:
    return picture().quantize(16)


@pytest.mark.parametrize(
    ("image", "kind", "options"),
    [
        (picture().convert("CMYK"), "JPEG", {"quality": 95}),
        (picture().convert("L"), "JPEG", {"quality": 95}),
        (picture().convert("L"), "PNG", {}),
        (picture().convert("1"), "PNG", {}),
        (_palette(), "PNG", {}),
        (picture().convert("LA"), "PNG", {}),
        (picture().convert("RGBA"), "WEBP", {"lossless": True}),
        (picture(), "JPEG", {"progressive": True, "quality": 95}),
    ],
    ids=lambda value: getattr(value, "mode", str(value)),
)
def test_every_mode_is_converted_to_rgb(image: Image.Image, kind: str, options: dict) -> None:
    pixels = decode(encoded(image, kind, **options), CONFIG).pixels
    assert pixels.mode == "RGB" and _near(pixels, image.convert("RGB"), 3)


def test_more_alphas_than_colours_are_ignored() -> None:
    data = encoded(_palette(), "PNG")
    at = data.index(b"IDAT") - 4
    pixels = decode(data[:at] + _chunk(b"tRNS", bytes(300)) + data[at:], CONFIG).pixels
    assert pixels.tobytes() == _palette().convert("RGB").tobytes()


def test_transparency_is_composited_on_white() -> None:
    image = Image.new("RGBA", (64, 32), (255, 0, 0, 255))
    image.paste((0, 0, 255, 0), (0, 0, 32, 32))
    for kind in ("PNG", "WEBP"):
        pixels = decode(encoded(image, kind, lossless=True), CONFIG).pixels
        assert pixels.getpixel((5, 5)) == (255, 255, 255)
        assert pixels.getpixel((60, 5)) == (255, 0, 0)
        small = decode(encoded(image, kind, lossless=True), ImagesConfig(max_side=16)).pixels
        assert small.getpixel((1, 4)) == (255, 255, 255)
    keyed = encoded(_palette(), "PNG", transparency=0)
    assert decode(keyed, CONFIG).pixels.mode == "RGB"
    grey = encoded(Image.new("L", (32, 32), 7), "PNG", transparency=7)
    assert decode(grey, CONFIG).pixels.getpixel((3, 3)) == (255, 255, 255)
    deep = encoded(Image.fromarray(np.full((32, 32), 7, np.uint16)), "PNG", transparency=7)
    assert decode(deep, CONFIG).pixels.mode == "RGB"


def test_first_frame_of_an_animation_is_used() -> None:
    frames = [picture(seed=n) for n in range(5)]
    for kind in ("WEBP", "PNG"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
        assert _near(decode(data, CONFIG).pixels, frames[0], 1)


def test_colour_profiles_do_not_change_the_image() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for kind in ("JPEG", "PNG", "WEBP"):
        for given_profile in (profile, b"not a profile"):
            data = encoded(picture(), kind, icc_profile=given_profile)
            assert _near(decode(data, CONFIG).pixels, picture(), 6)


def test_large_jpegs_are_decoded_at_a_reduced_scale() -> None:
    data = encoded(picture(1500, 1001), quality=95)
    decoded = decode(data, ImagesConfig(max_side=750))
    assert decoded.pixels.size == (750, 501) and not decoded.sendable
    assert _near(decoded.pixels, picture(1500, 1001).resize((750, 501)), 3)


def test_files_with_extra_data_are_not_sendable() -> None:
    assert decode(jpg(), CONFIG).sendable
    assert not decode(jpg() + bytes(200_000), CONFIG).sendable


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_mutated_images_are_decoded_or_rejected(data: st.DataObject) -> None:
    kind, suffix = data.draw(st.sampled_from(_KINDS[:3]))
    whole = bytearray(encoded(picture(), kind, exif=_exif(data.draw(st.integers(0, 9)))))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(whole) - 1))
        new = data.draw(st.binary(min_size=1, max_size=6))
        whole[at : at + len(new)] = new
    try:
        found = header(bytes(whole), CONFIG)
        decoded = decode(bytes(whole), CONFIG)
    except ImageError:
        return
    assert found.format == suffix
    longest = max(found[1:])
    if longest <= CONFIG.max_side:
        assert decoded.pixels.size == found[1:]
    assert decoded.pixels.mode == "RGB" and max(decoded.pixels.size) <= CONFIG.max_side


@given(
    st.tuples(*[st.floats(0, 1)] * 4), st.integers(16, 300), st.integers(16, 300), st.floats(0, 1)
)
@settings(max_examples=60, deadline=None)
def test_crops_are_neither_empty_nor_too_large(
    box: tuple[float, float, float, float], width: int, height: int, margin: float
) -> None:
    x1, x2, y1, y2 = *sorted(box[:2]), *sorted(box[2:])
    config = ImagesConfig(crop_side=64, crop_margin=margin)
    part = cut_out(Image.new("RGB", (width, height)), (x1, y1, x2, y2), config)
    assert min(part.size) >= 32 and max(part.size) <= 64


@given(
    st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 80), st.floats(1, 300),
    st.integers(16, 1024),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_nothing_is_sent_that_servers_refuse(
    width: int, height: int, least: int, aspect: float, side: int
) -> None:
    config = ImagesConfig(sent_min_side=least, sent_max_aspect=aspect)
    sent = as_sent(Image.new("L", (width, height)).convert("RGB"), side, config)
    assert min(sent.size) >= least
    assert max(sent.size) <= aspect * min(sent.size)
    assert max(sent.size) <= max(side, least)


def test_a_small_crop_is_enlarged_and_not_distorted() -> None:
    part = cut_out(picture(640, 480), (0.5, 0.5, 0.52, 0.53), ImagesConfig(crop_margin=0))
    assert part.size == (32, 34)  # 13 x 14 pixels of the picture


def test_a_thin_image_is_padded_with_grey_and_not_distorted() -> None:
    sent = as_sent(Image.new("RGB", (1000, 8), "red"), 1000, CONFIG)
    assert sent.size == (1000, 32)
    assert [sent.getpixel((500, y)) for y in (0, 11, 12, 19, 20, 31)] == [
        *[(127, 127, 127)] * 2, *[(255, 0, 0)] * 2, *[(127, 127, 127)] * 2,
    ]  # fmt: skip
    assert as_sent(Image.new("RGB", (1000, 32)), 1000, ImagesConfig(sent_max_aspect=10)).size == (
        1000,
        100,
    )


def test_an_image_that_servers_accept_is_sent_untouched() -> None:
    image = picture(400, 32)
    assert as_sent(image, 400, CONFIG) is image


class _Store:
    """A source of image bytes that counts its fetches."""

    def __init__(self) -> None:
        self.fetched = 0

    def fetch(self, wanted: object) -> bytes:
        self.fetched += 1
        return jpg(int(wanted.key))  # type: ignore[attr-defined]


_BOXES = (WHOLE, (0.0, 0.0, 0.5, 0.5), (0.2, 0.2, 0.9, 0.9))


def test_each_image_is_fetched_and_decoded_once() -> None:
    store = _Store()
    images = Images(CONFIG, store.fetch)
    images.put(record(key="1"), jpg(1))
    first = images.views(record(key="1"), _BOXES)
    assert images.views(record(key="1"), _BOXES[1:]) == first[1:]
    assert images.pixels(record(key="1")).size == (40, 30)
    assert (store.fetched, images.decodes) == (0, 1)
    assert _size(first[0]) == (43, 32)  # too small for some servers
    images.drop("/in/1.jpg")
    images.views(record(key="1"), _BOXES)
    assert (store.fetched, images.decodes) == (1, 2)


def test_a_jpeg_that_servers_accept_is_sent_as_it_came() -> None:
    whole = encoded(picture(64, 48))
    assert Images(CONFIG, lambda _: whole).views(record(), (WHOLE,)) == [whole]


def _size(data: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(data)).size


def test_cache_memory_is_bounded_and_released() -> None:
    store = _Store()
    images = Images(ImagesConfig(cache_bytes=40_000), store.fetch)
    for number in range(50):
        images.put(record(key=str(number)), jpg(number))
        images.views(record(key=str(number)), _BOXES)
        held = sum(kept.weigh() for kept in images._images.values())
        assert held == images._held <= 40_000
    images.views(record(key="3"), _BOXES)  # long gone, read again
    assert store.fetched == 1
    for number in range(50):
        images.drop(f"/in/{number}.jpg")
    assert images._held == 0 and not images._images


def test_threads_share_one_decoding_of_each_image() -> None:
    store = _Store()
    images = Images(CONFIG, store.fetch)
    seen: list[list[bytes]] = []
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        for number in range(20):
            seen.append(images.views(record(key=str(number)), _BOXES))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 160 and len({tuple(views) for views in seen}) == 20
    assert images.decodes == store.fetched == 20
    assert images._held == sum(kept.weigh() for kept in images._images.values())


def test_failed_fetches_are_retried() -> None:
    def gone(_: object) -> bytes:
        raise EOFError("ends early")

    images = Images(CONFIG, gone)
    for _ in range(2):
        with pytest.raises(EOFError):
            images.views(record(), _BOXES)
    images.put(record(), jpg())
    assert len(images.views(record(), _BOXES)) == 3
