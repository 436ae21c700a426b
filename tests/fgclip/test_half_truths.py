"""False versions of captions and long expressions in training: off by default, learned from."""

import random

import pytest
import torch

from finehard.errors import UsageError
from finehard.fgclip.config import load_train_config
from finehard.fgclip.objective import Objective, ObjectiveConfig
from finehard.fgclip.targets import SampleConfig, Told, select

from . import made_shards
from .test_accumulate import batch_of, model_of


def row(of, text, region=None, verified=True):
    return {"of": of, "region": region, "text": text, "verified": verified}


ROWS = [
    row("short_caption", "a false short one"),
    row("short_caption", "a true one", verified=False),
    row("long_caption", "a false long one", verified=None),
    row("long_caption", "another one"),
    row("long_expr", "a false expression", region=1),
]


def selected(config, rows=ROWS, **changes):
    sample = {**made_shards.sample(3)[1], "extra": {"half_truths": rows}, **changes}
    return select(sample, config, random.Random(0))


def test_false_versions_are_used_where_configured():
    config = SampleConfig(boxes=9, half_truths=1, choose="first", lowercase=True)
    targets = selected(config)
    assert targets.told_short == (Told(targets.short, ("a photo of a false short one",)),)
    assert targets.told_long == (Told(targets.long, ("a false long one",)),)
    given = {r.long: r.false_long for r in targets.regions if r.false_long}
    assert given == {targets.regions[1].long: ("a false expression",)}


def test_without_the_setting_targets_are_the_same():
    config = SampleConfig(boxes=2)
    assert selected(config) == select(made_shards.sample(3)[1], config, random.Random(0))


@pytest.mark.parametrize(
    "rows", [5, [5], [{}], [row("long_caption", " ")], [row(["a"], "b")], [row("long_expr", 3, 0)],
             [row("long_expr", "a", "0")]]
)  # fmt: skip
def test_wild_half_truths_are_left_out(rows):
    targets = selected(SampleConfig(half_truths=3), rows)
    assert not (targets.told_short or targets.told_long or targets.dropped)


def test_false_versions_of_a_missing_caption_are_not_used():
    targets = selected(SampleConfig(half_truths=3), short_caption=None)
    assert targets.told_short == () and targets.told_long


def test_a_true_text_of_the_same_form_stands_against_a_false_one():
    rows = [{**row("short_caption", "a cat, with a dog"), "true": "a cat, with a mug"}]
    targets = selected(SampleConfig(half_truths=2, prefix=""), [*rows, ROWS[0]])
    assert targets.told_short == (
        Told(targets.short, ("a cat, with a dog", "a false short one")),
        Told("a cat, with a mug", ("a cat, with a dog",)),
    )


@pytest.mark.parametrize("one", ["sample.half_truths=2", "objective.half_truth_weight=1"])
def test_the_two_settings_go_together(one):
    with pytest.raises(UsageError, match="set both, or none"):
        load_train_config("demo", [one])
    both = load_train_config("demo", ["sample.half_truths=2", "objective.half_truth_weight=1"])
    assert both.sample.half_truths == 2


def test_the_loss_sets_captions_against_their_false_versions():
    batch = batch_of(range(6))
    config = ObjectiveConfig(half_truth_weight=0.5, hard_weight=0, region_weight=0)
    objective = Objective(model_of(config), config)
    losses = objective.batch_losses(batch)
    features = objective(batch)
    captions = batch.half_truths
    assert len(captions.images) == len(features.told) > 3
    wanted = []
    for told, true, false, row_of in zip(
        features.told, features.caption, features.false, captions.false, strict=True
    ):
        logits = torch.cat([true[None], false[row_of >= 0]]) @ told * features.scalars[0]
        wanted.append(-logits.log_softmax(0)[0])
    expected = torch.stack(wanted).mean()
    assert losses["half_truth"].item() == pytest.approx(expected.item(), rel=1e-5)
    rest = losses["long"] + losses["short"] + 0.5 * losses["half_truth"]
    assert losses["loss"].item() == pytest.approx(rest.item(), rel=1e-5)


def test_captions_are_compared_by_the_head_of_their_length():
    batch = batch_of(range(6))
    config = ObjectiveConfig(half_truth_weight=1.0)
    features = Objective(model_of(config), config)(batch)
    captions = batch.half_truths
    short, long = ~captions.long, captions.long
    assert short.any() and long.any()
    is_caption = (captions.texts == batch.short[captions.images]) & short
    torch.testing.assert_close(
        features.caption[is_caption], features.short[captions.images[is_caption]]
    )
    torch.testing.assert_close(features.caption[long], features.long[captions.images[long]])
