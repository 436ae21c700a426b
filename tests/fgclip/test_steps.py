"""Steps: none waits for the device, one that fails names its samples, and all have FLOPs."""

import json
import re
from collections import Counter

import pytest
import torch
import webdataset
from torch._subclasses import FakeTensorMode
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPConfig

from bench.train_step import our_batch
from finehard.errors import FinehardError
from finehard.fgclip import evaluate
from finehard.fgclip.config import ObjectiveConfig, as_dict, load_train_config
from finehard.fgclip.flops import step_flops
from finehard.fgclip.model import FGCLIP, load, save
from finehard.fgclip.objective import Objective
from finehard.fgclip.packing import embedding_sum
from finehard.fgclip.train import train

from . import made_shards
from .test_siglip2_training import config as siglip2_config
from .test_train import config

WAITS = ("aten::_local_scalar_dense", "aten::item", "aten::nonzero", "aten::masked_select")
"""What a device's values are waited for by."""

ALL = {
    **as_dict(load_train_config("fgclip2"))["objective"],
    "global_loss": "softmax", "ranks": "all", "mask_same": True, "same_above": 0.99,
}  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return str(made_shards.write(tmp_path_factory.mktemp("data") / "set", 50))


def waits_of(settings, dataset, output) -> Counter[str]:
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        train(settings, [dataset], output)
    events = [event for event in recorded.events() if not in_optimizer(event)]
    counts = Counter(event.name for event in events)
    assert counts["aten::addmm"] > 10
    return Counter({name: counts[name] for name in WAITS})


def in_optimizer(event) -> bool:
    """AdamW's kernel for CPUs, but not the one for GPUs, reads each parameter's number of steps."""
    while event is not None:
        if event.name.startswith("Optimizer.step"):
            return True
        event = event.cpu_parent
    return False


EVERYTHING = {
    "objective": ALL,
    "optimizer": {
        "accumulate": 2, "ema": 0.9, "max_scale": 50.0, "lr_text": 0.5, "freeze": "vision",
    },
}  # fmt: skip
CASES = {"default": (config, {}), "options": (config, EVERYTHING), "siglip2": (siglip2_config, {})}


@pytest.mark.parametrize("case", CASES)
def test_no_step_waits_for_the_device(dataset, tmp_path, case):
    """Four steps of which the first and the last are logged wait no more often than two."""
    make, sections = CASES[case]
    found = []
    for steps in (2, 4):
        optimizer = {**sections.get("optimizer", {}), "steps": steps}
        run = {"log_every": 100, "save_every": 100}
        settings = make(**{**sections, "optimizer": optimizer, "run": run})
        found.append(waits_of(settings, dataset, tmp_path / str(steps)))
    assert found[0] == found[1] and found[0]["aten::_local_scalar_dense"] > 0


def test_a_step_needs_no_value_of_the_device():
    """Fake tensors have shapes and no values: what asks for one fails."""
    batch, _ = our_batch(4, 224, 0)
    shape = {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2}
    made = CLIPConfig(text_config={"eos_token_id": 49407, **shape}, vision_config=shape)
    objective_config = ObjectiveConfig(**ALL)
    with FakeTensorMode(allow_non_fake_inputs=True):
        objective = Objective(FGCLIP(made), objective_config)
        objective.batch_losses(batch)["loss"].backward()
        with pytest.raises(Exception, match="item|local_scalar_dense"):
            objective.threshold.item()


def odd_sample(folder):
    """A dataset of one sample, "odd", whose long caption has letters that no other has."""
    (folder / "shards").mkdir(parents=True)
    name = "finehard-00000-of-00001.tar"
    image, text = made_shards.sample(50)
    text["long_caption"] += "zzz"
    with webdataset.TarWriter(str(folder / "shards" / name), encoder=False) as tar:
        tar.write({"__key__": "odd", "jpg": image, "json": json.dumps(text).encode()})
    (folder / "sizes.json").write_text(json.dumps({name: 1}))
    return str(folder)


def poisoned(start, folder):
    """A model like `start` that gives no number for texts with these letters."""
    tokenizer, model = evaluate.load_tokenizer(start), load(start)
    with torch.no_grad():
        tokens = tokenizer("zzz")["input_ids"][1:-1]
        model.text_model.embeddings.token_embedding.weight[tokens] = float("nan")
    save(model, folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_the_sample_of_a_loss_that_is_no_number_is_named(dataset, tmp_path):
    """Though it is noticed steps later: the weights are those before the step."""
    data = [dataset, odd_sample(tmp_path / "odd")]
    train(config(optimizer={"steps": 1}), data, tmp_path / "start")
    start = poisoned(tmp_path / "start" / "model", tmp_path / "poisoned")
    for parts in (1, 2):
        settings = config(
            optimizer={"steps": 8, "accumulate": parts}, run={"log_every": 100, "save_every": 100}
        )
        with pytest.raises(FinehardError) as caught:
            train(settings, data, tmp_path / str(parts), start)
        line = str(caught.value)
        assert "\n" not in line and line.endswith("not applied, there is no checkpoint")
        shard = r"/\S+/odd/shards/finehard-00000-of-00001\.tar"
        assert re.match(rf"step [1-7]: loss is nan, .*: the features of odd of {shard} \(long\) "
                        "are not finite; the step was", line), line  # fmt: skip


def test_weights_that_are_no_numbers_are_no_samples_fault(dataset, tmp_path):
    settings = config(optimizer={"lr": 1e18, "clip_norm": 0}, run={"log_every": 5})
    with pytest.raises(FinehardError, match=r"of no sample are finite: .* a lower optimizer.lr"):
        train(settings, [dataset], tmp_path)
    row = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert row["step"] == 1


@pytest.mark.parametrize("frozen", [False, True])
def test_flops_are_those_that_torch_counts(frozen):
    batch, _ = our_batch(4, 224, 0)
    shape = {"num_hidden_layers": 4, "hidden_size": 128, "num_attention_heads": 2}
    made = CLIPConfig(
        text_config={"eos_token_id": 49407, "intermediate_size": 512, **shape},
        vision_config={"intermediate_size": 512, "patch_size": 16, **shape},
    )
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = FGCLIP(made)
        model.vision_model.requires_grad_(not frozen)
        model.vision_model.config._attn_implementation = "eager"  # torch counts no fused attention
        with FlopCounterMode(display=False) as counter:
            objective = Objective(model, ObjectiveConfig(mask_same=False))
            objective.batch_losses(batch)["loss"].backward()
        counted = step_flops(model, batch)
    assert counted == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_an_embeddings_gradient_is_the_sum_of_rows():
    """What a GPU sums by, in a fixed order."""
    torch.manual_seed(0)
    rows, index = torch.randn(200, 3, 2, 4), torch.randint(0, 9, (200,))
    expected = torch.zeros(12, 3, 2, 4).index_add_(0, index, rows)
    torch.testing.assert_close(embedding_sum(rows, index, 12), expected)
