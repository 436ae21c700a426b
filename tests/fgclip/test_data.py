"""From shards to batches: each sample once an epoch, in an order given by seed and step alone."""

import io
import json
import random
import struct
import subprocess
import sys
import tarfile
import zlib
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from finehard.errors import FinehardError, UsageError
from finehard.fgclip.data import Batches, Limits, Part, Source, stream
from finehard.fgclip.reader import ShardReader, find_shards
from finehard.fgclip.sampler import Sampler, Shard
from finehard.fgclip.targets import SampleConfig, select, text_id
from finehard.fgclip.tokenizer import Tokens, _merges, load_tokenizer, make_tokenizer, texts_of
from finehard.fgclip.transform import square
from finehard.images import ImageError

from . import made_shards

LIMITS = Limits(32, 77, 248)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return made_shards.write(tmp_path_factory.mktemp("data") / "set", 50)


@pytest.fixture(scope="module")
def tokenizer(dataset):
    reader = ShardReader(find_shards([str(dataset)]), 1.0)
    return make_tokenizer(texts_of(reader, 50), 700)


def batches(dataset, tokenizer, images=4, share=0, shares=1, sample=None, seed=3, keep_last=False):
    shards = find_shards([str(dataset)])
    source = Source(shards, sample or SampleConfig(), 32, seed, 1.0)
    part = Part(images, share, shares)
    return Batches(source, Sampler(shards, seed, 2), part, Tokens(tokenizer), LIMITS, keep_last)


def fingerprint(batch):
    return batch.keys, batch.pixels.sum().item(), batch.boxes.tolist(), batch.packing.ids.tolist()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(1, 5), st.integers(0, 99))
def test_each_epoch_has_all_samples_in_a_new_order(sizes, window, seed):
    shards = [Shard(str(i), n) for i, n in enumerate(sizes)]
    order = Sampler(shards, seed, window)
    epochs = [order.indices(epoch, 0, order.total) for epoch in range(2)]
    for places in epochs:
        assert sorted(places) == [(i, j) for i, n in enumerate(sizes) for j in range(n)]
    if sum(sizes) > 20:
        assert epochs[0] != epochs[1]
    # In pieces, by another object, backwards: the same.
    cuts = range(0, order.total, 3)
    other = Sampler(shards, seed, window)
    pieces = {s: other.indices(1, s, min(s + 3, other.total)) for s in reversed(cuts)}
    assert [p for s in cuts for p in pieces[s]] == epochs[1]


def test_one_shard_is_reshuffled_each_epoch():
    order = Sampler([Shard("a", 40)], 1)
    assert order.indices(0, 0, 40) != order.indices(1, 0, 40)


def test_without_a_seed_samples_are_in_shard_order():
    order = Sampler([Shard("a", 2), Shard("b", 1)], None)
    assert order.indices(0, 0, 3) == [(0, 0), (0, 1), (1, 0)]
    with pytest.raises(IndexError):
        order.indices(0, 2, 4)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_batches_do_not_depend_on_workers_or_first_step(dataset, tokenizer, workers):
    whole = [fingerprint(b) for b in stream(batches(dataset, tokenizer), range(0, 15), 0)]
    again = [fingerprint(b) for b in stream(batches(dataset, tokenizer), range(7, 15), workers)]
    assert again == whole[7:]
    first_epoch = [key for keys, *_ in whole[:12] for key in keys]
    assert len(set(first_epoch)) == len(first_epoch) == 48  # 2 of 50 are left over


def test_parts_of_all_processes_make_one_batch(dataset, tokenizer):
    for number in range(6):
        one = batches(dataset, tokenizer, images=8)[number]
        two = [batches(dataset, tokenizer, 4, share, 2)[number] for share in range(2)]
        assert one.keys == two[0].keys + two[1].keys
        assert torch.equal(one.boxes, torch.cat([b.boxes for b in two]))


def test_a_batch_has_the_texts_and_boxes_of_its_samples(dataset, tokenizer):
    config = SampleConfig(boxes=3, choose="first", long_expr=0.0, negatives=2)
    batch = batches(dataset, tokenizer, sample=config)[0]
    ends = dict(enumerate(texts_in(batch, tokenizer)))
    start = 0
    for i, key in enumerate(batch.keys):
        truth = made_shards.sample(int(key))[1]
        assert ends[int(batch.short[i])] == clean(f"a photo of {truth['short_caption']}")
        assert ends[int(batch.long[i])] == clean(truth["long_caption"])
        for region in truth["regions"][:3]:
            assert int(batch.images[start]) == i
            assert batch.boxes[start].tolist() == pytest.approx(region["box"])
            assert ends[int(batch.regions[start])] == clean(region["short_expr"])
            wrong = [clean(n["text"]) for n in region["hard_negatives"]][:2]
            found = (batch.hard_boxes == start).nonzero().flatten().tolist()
            assert len(found) == bool(wrong)
            for row in found:
                assert ends[int(batch.positives[row])] == clean(region["short_expr"])
                texts = [ends[t] for t in batch.negatives[row].tolist() if t >= 0]
                assert texts == wrong
            start += 1
    assert start == len(batch.boxes)


def texts_in(batch, tokenizer):
    """The distinct texts of a batch, from its packing: back from each end along `spread`."""
    packing, found = batch.packing, {}
    for text in range(int(packing.inside.max()) + 1):
        nodes = packing.spread[packing.inside == text].tolist()
        ids = packing.ids[nodes].tolist()
        end = ids.index(tokenizer.eos_token_id)
        found[nodes[end]] = tokenizer.decode(ids[1:end]).strip()
    return [clean(found[int(end)]) for end in packing.ends]


def clean(text):
    return text.lower().replace(" ", "")  # decoding sets spaces around digits and signs


def test_unconfirmed_regions_and_negatives_are_left_out():
    sample = made_shards.sample(3)[1]
    sample["regions"] = [dict(sample["regions"][0], verified=v) for v in (True, False, None)]
    for n in sample["regions"][0]["hard_negatives"]:
        n["verified"] = False
    taken = select(sample, SampleConfig(), random.Random(0))
    assert len(taken.regions) == 2
    assert taken.regions[0].negatives == ()


def test_equivalent_texts_have_the_same_id():
    assert text_id("A red mug.") == text_id("the Red mug") == text_id("red mug")
    assert text_id("a red mug") != text_id("a mug, red")


def broken(folder, count=24):
    """A dataset with four samples that cannot be read: no JSON, no image, cut JPEG, no caption."""
    made_shards.write(folder, count, per_shard=count)
    path = next((folder / "shards").glob("*.tar"))
    with tarfile.open(path) as tar:
        members = [(m, tar.extractfile(m).read()) for m in tar]
    with tarfile.open(path, "w") as tar:
        for member, data in members:
            key, kind = member.name.split(".")
            if (key, kind) == ("000002", "json"):
                data = b"{"
            if (key, kind) == ("000005", "jpg"):
                continue
            if (key, kind) == ("000007", "jpg"):
                data = data[: len(data) // 2]
            if (key, kind) == ("000011", "json"):
                data = json.dumps(
                    {**json.loads(data), "short_caption": 1, "long_caption": []}
                ).encode()
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return folder


def test_unreadable_samples_are_skipped_and_named(tmp_path, tokenizer):
    folder = broken(tmp_path / "set")
    found = list(stream(batches(folder, tokenizer, images=6), range(4), 1))
    skipped = {s.key: s.reason for b in found for s in b.skipped}
    assert set(skipped) == {"000002", "000005", "000007", "000011"}
    assert all(skipped.values()) and "image" in skipped["000005"]
    assert sum(len(b.keys) for b in found) == 20
    assert all(len(b.pixels) == len(b.keys) == len(b.short) for b in found)


def test_a_cut_shard_loses_only_its_end(tmp_path, tokenizer):
    folder = made_shards.write(tmp_path / "set", 24, per_shard=24)
    path = next((folder / "shards").glob("*.tar"))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    found = list(stream(batches(folder, tokenizer, images=24), range(1), 0))
    assert 8 < len(found[0].keys) < 16
    assert len(found[0].keys) + len(found[0].skipped) == 24


def test_a_batch_without_readable_samples_is_an_error(tmp_path, tokenizer):
    folder = made_shards.write(tmp_path / "set", 8)
    for path in (folder / "shards").glob("*.tar"):
        path.write_bytes(b"\0" * 1024)
    for workers in (0, 1):
        with pytest.raises(FinehardError, match="none of 8 samples could be read") as caught:
            list(stream(batches(folder, tokenizer), range(1), workers))
        assert "\n" not in str(caught.value)


def test_a_folder_without_shards_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no shards in"):
        find_shards([str(tmp_path)])


def test_shards_without_sizes_are_counted(tmp_path):
    folder = made_shards.write(tmp_path / "set", 20, sizes=False)
    assert Counter(s.samples for s in find_shards([str(folder)])) == {10: 2}


@pytest.mark.parametrize("text", ["[4]", "{", '{"NAME": "4"}', '{"NAME": -3}', '{"NAME": null}'])
def test_samples_are_counted_where_sizes_json_is_wrong(tmp_path, text, capsys):
    folder = made_shards.write(tmp_path / "set", 4)
    [path] = (folder / "shards").glob("*.tar")
    (folder / "sizes.json").write_text(text.replace("NAME", path.name))
    assert [s.samples for s in find_shards([str(folder)])] == [4]
    [line] = capsys.readouterr().err.splitlines()
    assert "sizes.json" in line and line.endswith("counted instead")


@pytest.mark.parametrize("listed", [3, 9])
def test_samples_missing_from_sizes_or_shard_are_named(tmp_path, tokenizer, listed):
    folder = made_shards.write(tmp_path / "set", 6)
    [path] = (folder / "shards").glob("*.tar")
    (folder / "sizes.json").write_text(json.dumps({path.name: listed}))
    found = list(stream(batches(folder, tokenizer, images=listed), range(1), 0))
    assert len(found[0].keys) == min(listed, 6) and len(found[0].skipped) == 3
    reason = "sizes.json has only 3 samples" if listed == 3 else "the shard has 6 samples"
    assert all(reason in s.reason and s.shard == str(path) for s in found[0].skipped)


def test_empty_and_compressed_tars_are_reported(tmp_path, capsys):
    folder = tmp_path / "set"
    folder.mkdir()
    with tarfile.open(folder / "a.tar", "w"):
        pass
    (folder / "b.tar").write_bytes(b"\x1f\x8b" + bytes(600))
    (folder / "c.tar.gz").write_bytes(b"\x1f\x8b" + bytes(600))
    with pytest.raises(UsageError, match="hold no samples"):
        find_shards([str(folder)])
    printed = capsys.readouterr().err
    for words in ("a.tar is empty", "b.tar is damaged", "gzip-compressed", "c.tar.gz"):
        assert words in printed


def spoilt(folder, count, good):
    """A dataset whose images are no images, except those whose numbers are in `good`."""
    made_shards.write(folder, count, per_shard=count)
    [path] = (folder / "shards").glob("*.tar")
    with tarfile.open(path) as tar:
        members = [(m, tar.extractfile(m).read()) for m in tar]
    with tarfile.open(path, "w") as tar:
        for member, data in members:
            key, kind = member.name.split(".")
            data = b"no image" if kind == "jpg" and int(key) not in good else data
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return folder


def test_the_next_batch_replaces_one_that_is_unreadable(tmp_path, tokenizer):
    folder = spoilt(tmp_path / "set", 4, {0, 1, 2})
    found = list(stream(batches(folder, tokenizer, images=1), range(4), 0))
    assert {key for b in found for key in b.keys} == {"000000", "000001", "000002"}
    assert {s.key for b in found for s in b.skipped} == {"000003"}
    last = batches(folder, tokenizer, images=1, keep_last=True)  # an evaluation repeats none
    assert len(list(stream(last, range(4), 0))) == 3


def test_a_cut_tar_without_sizes_is_reported(tmp_path, capsys):
    folder = made_shards.write(tmp_path / "set", 24, per_shard=24, sizes=False)
    path = next((folder / "shards").glob("*.tar"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    [shard] = find_shards([str(folder)])
    assert 8 < shard.samples < 16
    assert f"finehard: shard {path} is damaged" in capsys.readouterr().err


def test_a_missing_sample_is_skipped_with_the_damage(tmp_path, tokenizer):
    folder = made_shards.write(tmp_path / "set", 24, per_shard=24)
    path = next((folder / "shards").glob("*.tar"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    [batch] = stream(batches(folder, tokenizer, images=24), range(1), 0)
    assert len(batch.keys) + len(batch.skipped) == 24
    assert all("samples, damaged at byte" in s.reason for s in batch.skipped[1:])


def test_keep_last_gives_a_smaller_last_batch(dataset, tokenizer):
    found = batches(dataset, tokenizer, images=16, keep_last=True)
    assert [len(b.keys) for b in stream(found, range(found.per_epoch), 0)] == [16, 16, 16, 2]


def jpeg(width, height, box, color, exif=None):
    image = Image.new("RGB", (width, height), (128, 128, 128))
    image.paste(color, box)
    data = io.BytesIO()
    image.save(data, "JPEG", quality=95, **({"exif": exif} if exif else {}))
    return data.getvalue()


@pytest.mark.parametrize("fit", ["squash", "pad"])
@pytest.mark.parametrize("size", [(1000, 400), (300, 900), (50, 80)])
@pytest.mark.parametrize("turned", [False, True])
def test_boxes_stay_on_their_objects(fit, size, turned):
    """A red rectangle is where its box says, after scaling, padding and EXIF rotation."""
    width, height = size
    x1, y1, x2, y2 = (0.5, 0.25, 0.75, 0.75)
    pixels = (int(x1 * width), int(y1 * height), int(x2 * width), int(y2 * height))
    exif = None
    box = (x1, y1, x2, y2)
    if turned:  # shown turned by 90 degrees clockwise
        exif = Image.Exif()
        exif[0x0112] = 6
        box = (1 - y2, x1, 1 - y1, x2)
    array, (moved,) = square(jpeg(*size, pixels, (255, 0, 0), exif), 64, fit, [box])
    assert array.shape == (3, 64, 64)
    red = (array[0] > 200) & (array[1] < 90)
    rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
    seen = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert np.abs(np.array(seen) - np.array(moved) * 64).max() <= 3


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_other_formats_and_modes_become_rgb(kind, mode):
    data = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 200, 200)).convert(mode).save(data, kind)
    array, _ = square(data.getvalue(), 16, "squash", [])
    assert array.shape == (3, 16, 16) and abs(array.mean() - 200) <= 4


@pytest.mark.parametrize("size", [(640, 480), (33, 100), (31, 32), (500, 1), (2, 3)])
def test_resizing_equals_pillows_bicubic(size):
    pixels = np.random.default_rng(size[0]).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image, data = Image.fromarray(pixels), io.BytesIO()
    image.save(data, "PNG")
    array, _ = square(data.getvalue(), 32, "squash", [])
    wanted = np.asarray(image.resize((32, 32), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    assert array.shape == (3, 32, 32) and array.dtype == np.uint8 and array.flags.c_contiguous
    assert np.abs(array.astype(int) - wanted).max() <= 1


def test_pixel_bombs_are_refused_before_decoding():
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    data += struct.pack(">I", zlib.crc32(chunk)) + struct.pack(">I", 9) + b"IDAT" + b"\0" * 13
    with pytest.raises(ImageError, match="60000 x 60000|exceeds"):
        square(data, 32, "squash", [])


def test_a_made_tokenizer_is_saved_and_truncates(tmp_path, tokenizer):
    ids = tokenizer("a red ball, 日本")["input_ids"]
    assert ids[0] == len(tokenizer) - 2 and ids[-1] == len(tokenizer) - 1 == max(ids)
    assert ids.count(ids[-1]) == 1  # what was never seen is spelt in bytes
    assert tokenizer.decode(ids[1:-1]) == "a red ball , 日本"
    tokenizer.save_pretrained(tmp_path)
    again = load_tokenizer(tmp_path)
    assert again("a red ball, 日本")["input_ids"] == ids
    tokens = Tokens(again)
    assert tokens("a red ball", 77) == tuple(again("a red ball")["input_ids"])
    cut = tokens("a red ball " * 100, 20)
    assert len(cut) == 20 and cut[-1] == ids[-1] and cut.count(ids[-1]) == 1


def test_a_made_tokenizer_is_deterministic():
    """Each training process makes its own; many pairs here are equally frequent."""
    code = (
        "from finehard.fgclip.tokenizer import make_tokenizer as m\n"
        "t = m((f'word{c} {c}{d} shows' for c in 'abcdefgh' for d in 'xyz'), 640)\n"
        "print(t.backend_tokenizer.to_str())"
    )
    found = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
        for _ in range(2)
    }
    assert len(found) == 1 and b"word" in found.pop()


def test_the_most_frequent_pair_is_merged_first():
    merges = _merges(Counter({"hug": 10, "pug": 5, "pun": 12, "bun": 4, "hugs": 5}), 5)
    # p-u 17, h-u 15, pu-n 12, hu-g 10; then g-s, hu-g and pu-g have 5 each.
    assert merges[:4] == [("p", "u"), ("h", "u"), ("pu", "n</w>"), ("hu", "g</w>")]
    assert merges[4] == ("g", "s</w>")


pieces = ["a", "Bz", "'s", "'", "'LL", " ", "  ", "19", "!?", ".", "-", "<|endoftext|>", "\t", "é"]


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=20) | st.lists(st.sampled_from(pieces), max_size=8).map("".join))
def test_cached_words_equal_the_tokenizers_output(tokenizer, text):
    assert Tokens(tokenizer)(text, 500) == tuple(tokenizer(text)["input_ids"])
