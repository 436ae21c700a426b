import json

import pytest
import torch

from finehard.fgclip import evaluate, model
from finehard.fgclip.config import ScratchConfig, scratch_clip
from finehard.fgclip.evaluators import Features, best_rank_of, rank_of, retrieval
from finehard.fgclip.reader import ShardReader, find_shards
from finehard.fgclip.targets import SampleConfig
from finehard.fgclip.tokenizer import make_tokenizer, texts_of

from . import made_shards

SMALL = ScratchConfig(
    image_size=32, patch_size=8, width=32, layers=2, heads=2, text_width=32, text_layers=2,
    text_heads=2, projection=16, vocabulary=700,
)  # fmt: skip


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return find_shards([str(made_shards.write(tmp_path_factory.mktemp("data") / "set", 30))])


@pytest.fixture(scope="module")
def network(shards):
    tokenizer = make_tokenizer(texts_of(ShardReader(shards, 1), 30), 700)
    torch.manual_seed(0)
    return model.build(scratch_clip(SMALL, len(tokenizer))), tokenizer


def test_ties_rank_above_the_right_column():
    rows, columns = torch.eye(3), torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 1, 0]])
    assert rank_of(rows, columns, torch.tensor([0, 1, 2])).tolist() == [0, 1, 2]


def test_the_best_of_a_rows_columns_counts_ties_below_others():
    rows, columns = torch.eye(3)[:2], torch.tensor([[1.0, 0, 0], [0.5, 0, 0], [1, 1, 0]])
    assert best_rank_of(rows, columns, torch.tensor([0, 0, 1])).tolist() == [1, 0]


def test_images_with_one_caption_are_right_with_each_other():
    texts = torch.eye(3)
    of = torch.tensor([0, 0, 1, 2])

    class Data:
        def features(self, model):
            none = texts[:0]
            return Features(texts[of], texts, texts, of, of, none, none, of[:0], [])

    figures = dict(retrieval(None, Data()))
    assert figures["long_i2t_r1"] == figures["long_t2i_r1"] == figures["short_t2i_r1"] == 1.0


def test_a_model_with_constant_scores_gets_zero(network, shards):
    blind, tokenizer = network
    weight = blind.text_projection.weight
    original = weight.detach().clone()
    with torch.no_grad():
        weight.zero_()
    metrics = evaluate.evaluate(blind, tokenizer, shards, SampleConfig())
    with torch.no_grad():
        weight.copy_(original)
    assert metrics["hard_top1"] < 0.35  # regions without negatives count as right
    assert metrics["region_top1"] == metrics["short_i2t_r10"] == metrics["short_t2i_r1"] == 0


def test_metrics_equal_a_plain_count(network, shards):
    """One image and one text at a time, all pairs compared."""
    net, tokenizer = network
    metrics = evaluate.evaluate(net, tokenizer, shards, SampleConfig(), batch_size=7)
    truths = [made_shards.sample(n)[1] for n in range(30)]
    assert metrics["images"] == 30
    assert metrics["regions"] == sum(len(t["regions"]) for t in truths)
    hard = [r["hard_negatives"] for t in truths for r in t["regions"] if r["hard_negatives"]]
    assert metrics["hard_regions"] == len(hard)
    assert metrics["hard_negatives"] == sum(map(len, hard))
    assert metrics["hard_chance"] == pytest.approx(sum(1 / (1 + len(h)) for h in hard) / len(hard))
    assert metrics["classes"] == len({r["short_expr"] for t in truths for r in t["regions"]})
    again = evaluate.evaluate(net, tokenizer, shards, SampleConfig(), batch_size=30)
    assert again == pytest.approx(metrics)
    right = count_by_hand(net, tokenizer, shards)
    assert metrics["long_i2t_r5"] == pytest.approx(right[0])
    assert metrics["hard_top1"] == pytest.approx(right[1])


@torch.no_grad()
def count_by_hand(net, tokenizer, shards):
    from torch.nn.functional import normalize

    from finehard.fgclip.objective import MEAN, STD
    from finehard.fgclip.packing import LONG, SHORT, pack
    from finehard.fgclip.sampler import Sampler
    from finehard.fgclip.transform import square

    def text(kind, words):
        states = net.encode_texts(pack([(kind, tuple(tokenizer(words)["input_ids"]))])[0])
        head = net.long_features if kind == LONG else net.short_features
        return normalize(head(states), dim=-1)[0]

    reader = ShardReader(shards, 1)
    mean, std = (torch.tensor(x)[:, None, None] for x in (MEAN, STD))
    images, longs, right = [], [], []
    for index in Sampler(shards, None).indices(0, 0, 30):
        raw = reader.read(index)
        pixels = (torch.from_numpy(square(raw.image, 32, "squash", [])[0]) / 255 - mean) / std
        image, dense = net.encode_images(pixels[None])
        images.append(normalize(image, dim=-1)[0])
        longs.append(text(LONG, raw.sample["long_caption"]))
        for region in raw.sample["regions"]:
            if not region["hard_negatives"]:
                continue
            box = torch.tensor([region["box"]])
            features = net.region_features(dense, box, torch.tensor([0]))
            feature = normalize(features, dim=-1)[0]
            own = float(feature @ text(SHORT, region["short_expr"]))
            others = [float(feature @ text(SHORT, n["text"])) for n in region["hard_negatives"]]
            right.append(own > max(others))
    scores = torch.stack(images) @ torch.stack(longs).T
    among = [int((row > row[i]).sum()) < 5 for i, row in enumerate(scores)]
    return sum(among) / len(among), sum(right) / len(right)


def test_command_prints_and_writes_the_metrics(network, shards, tmp_path, capsys):
    net, tokenizer = network
    model.save(net, tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    data = str(shards[0].uri).rsplit("/shards/", 1)[0]
    arguments = ["--model", str(tmp_path / "model"), "--data", data, "--workers", "0"]
    assert evaluate.main([*arguments, "--output", str(tmp_path / "metrics.json")]) == 0
    out = capsys.readouterr().out
    assert "hard negatives" in out and "region classification" in out
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["images"] == 30 and 0 <= metrics["long_i2t_r1"] <= 1
