"""Both stages of training: captions of any tars, mixed datasets, and runs that are changed."""

import dataclasses
import io
import json
import random
import shutil
import tarfile
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finehard.errors import UsageError
from finehard.fgclip.arguments import parse
from finehard.fgclip.config import as_dict, load_train_config, parse_train_config
from finehard.fgclip.data import Source
from finehard.fgclip.evaluate import load_tokenizer
from finehard.fgclip.reader import ShardReader, find_shards, find_weighted
from finehard.fgclip.sampler import SampleIndex, Sampler, Shard
from finehard.fgclip.targets import SampleConfig, select
from finehard.fgclip.train import train

from . import made_shards
from .test_train import TINY, config, losses, same_weights

LONG = "a red square on gray ground " * 9
"""54 words."""


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """Two datasets, of 20 and 12 samples."""
    folder = tmp_path_factory.mktemp("data")
    first = made_shards.write(folder / "first", 20, per_shard=8)
    return [str(first), str(made_shards.write(folder / "second", 12, per_shard=4, first=100))]


def captions(sample, **changes):
    taken = select(sample, SampleConfig(**changes), random.Random(0))
    return taken.short, taken.long


@pytest.mark.parametrize(("sample", "short", "long"), [
    ({"short_caption": "a cat"}, "a photo of a cat", ""),
    ({"long_caption": "a cat", "short_caption": " "}, "", "a cat"),
    ({"caption": "a cat"}, "a photo of a cat", ""),
    ({"caption": LONG}, "", LONG),
    ({"caption": LONG, "short_caption": "a cat"}, "a photo of a cat", LONG),
    ({"caption": "a dog", "short_caption": "a cat"}, "a photo of a cat", ""),
])  # fmt: skip
def test_a_missing_caption_is_no_text_if_so_configured(sample, short, long):
    assert captions(sample, missing_caption="none") == (short, long)


def test_a_sample_with_regions_alone_is_used_if_so_configured():
    sample = {"regions": made_shards.sample(3)[1]["regions"], "long_caption": ""}
    taken = select(sample, SampleConfig(missing_caption="none"), random.Random(0))
    assert (taken.short, taken.long) == ("", "") and taken.regions and not taken.missing
    with pytest.raises(ValueError, match="it has no caption"):
        select(sample, SampleConfig(missing_caption="none", boxes=0), random.Random(0))


def test_alt_text_is_mixed_in_at_its_share():
    sample = {"short_caption": "a cat", "long_caption": "a cat sits", "alt_text": "IMG_1"}
    drawn = [select(sample, SampleConfig(alt_text=0.2), random.Random(i)) for i in range(1000)]
    shorts = Counter(taken.short for taken in drawn)
    assert set(shorts) == {"IMG_1", "a photo of a cat"} and 150 < shorts["IMG_1"] < 250
    assert {taken.long for taken in drawn} == {"a cat sits"}
    for none in (None, " ", 5):
        assert captions({**sample, "alt_text": none}, alt_text=1.0)[0] == "a photo of a cat"
    assert captions(sample)[0] == "a photo of a cat"


ALTERNATIVES = [
    {"captioner": "a", "short_caption": "a cat", "long_caption": "a cat sits"},
    {"captioner": "b", "short_caption": "one cat", "long_caption": "one cat sleeps"},
]


def test_captions_are_drawn_among_those_of_all_captioners():
    """Each as often, the short one with the long one; alt text replaces the short one at its
    share."""
    sample = {**ALTERNATIVES[0], "alt_text": "IMG_1", "extra": {"captions": ALTERNATIVES}}
    chosen = SampleConfig(alt_text=0.2)
    drawn = [select(sample, chosen, random.Random(i)) for i in range(1000)]
    pairs = Counter((taken.short.removeprefix("a photo of "), taken.long) for taken in drawn)
    assert {long: 430 < n < 570 for long, n in Counter(t.long for t in drawn).items()} == {
        "a cat sits": True, "one cat sleeps": True
    }  # fmt: skip
    assert set(pairs) == {(short, row["long_caption"]) for row in ALTERNATIVES
                          for short in ("IMG_1", row["short_caption"])}  # fmt: skip
    assert 150 < sum(n for (short, _), n in pairs.items() if short == "IMG_1") < 250
    assert {captions(sample, captions="first") for _ in range(9)} == {
        ("a photo of a cat", "a cat sits")
    }


@pytest.mark.parametrize("others", [None, [], [3, {"short_caption": " "}], {"a": 1}])
def test_alternatives_of_another_form_are_left_alone(others):
    sample = {**ALTERNATIVES[0], "extra": {"captions": others}}
    assert captions(sample) == ("a photo of a cat", "a cat sits")


def recaptioned(folder, count=12):
    """A dataset whose samples have captions of two captioners."""
    folder.mkdir()
    members = []
    for number in range(count):
        text = made_shards.sample(number)[1]["short_caption"]
        rows = [{"short_caption": f"{text} {a}", "long_caption": f"{a} {text}"} for a in "ab"]
        members.append({"json": json.dumps({**rows[0], "extra": {"captions": rows}}).encode()})
    return others_tar(folder / "set", members)


def test_another_captioner_is_drawn_in_another_epoch(tmp_path):
    source = Source(find_shards([recaptioned(tmp_path / "in")]), SampleConfig(), 32, 0, 1.0)
    epochs = [[source.read(SampleIndex(0, i), epoch).targets.long[0] for i in range(12)]
              for epoch in (0, 1, 2, 1)]  # fmt: skip
    assert epochs[1] == epochs[3]
    assert all(set(drawn) == {"a", "b"} for drawn in epochs)
    assert len({tuple(drawn) for drawn in epochs}) == 3


def test_a_run_on_drawn_captions_resumes_exactly(tmp_path):
    """Stopped in its second epoch, and resumed with workers, of a mix of datasets."""
    mix = [f"{recaptioned(tmp_path / 'a')}=2", recaptioned(tmp_path / "b", 8)]  # 4 steps an epoch
    train(stage1(steps=8, warmup_steps=0), mix, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step-00000008")
    settings = stage1(steps=8, warmup_steps=0)
    settings = dataclasses.replace(settings, run=dataclasses.replace(settings.run, workers=2))
    assert train(settings, mix, tmp_path / "run")["step"] == 8
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    same_weights(tmp_path / "whole", tmp_path / "run", 0.0)


def others_tar(folder, members):
    """A folder with one tar as others write it: images, each with these members."""
    folder.mkdir()
    with tarfile.open(folder / "00000.tar", "w") as tar:
        for number, parts in enumerate(members):
            image, _ = made_shards.sample(number)
            for kind, data in (("jpg", image), *parts.items()):
                info = tarfile.TarInfo(f"{number:05d}.{kind}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return str(folder)


def test_a_text_beside_an_image_is_its_caption(tmp_path):
    folder = others_tar(tmp_path / "set", [
        {"txt": b" a cat\n"},
        {"txt": b"a cat", "json": b'{"width": 3}'},
        {"txt": b"a dog", "json": b'{"caption": "a cat"}'},
        {"json": b'{"caption": "a cat"}', "txt": b""},
    ])  # fmt: skip
    reader = ShardReader(find_shards([folder]), 1.0)
    read = [reader.read(SampleIndex(0, i)).sample for i in range(4)]
    assert [sample["caption"] for sample in read] == ["a cat"] * 4
    assert read[1]["width"] == 3


def stage1(**optimizer):
    """The recipe, as small as the model of tests."""
    values = as_dict(load_train_config("stage1"))
    values |= {name: TINY[name] for name in ("scratch", "run")}
    values["optimizer"] = {**values["optimizer"], **TINY["optimizer"], **optimizer}
    return parse_train_config(values, "test")


def test_stage_2_starts_from_a_run_of_stage_1(tmp_path, datasets):
    """Stage 1 on tars with texts only; then the region scales begin at the trained global one."""
    texts = [{"txt": made_shards.sample(n)[1]["short_caption"].encode()} for n in range(16)]
    texts[5] = {"txt": LONG.encode()}
    texts[6] = {"json": b'{"long_caption": "a ball"}'}
    result = train(stage1(), [others_tar(tmp_path / "set", texts)], tmp_path / "one")
    assert result["skipped"] == 0 and not (tmp_path / "one" / "skipped.jsonl").read_text()
    first = losses(tmp_path / "one")
    assert set(first[1]) == {"loss", "long", "short", "grad_norm"}
    assert first[20]["short"] < first[1]["short"]
    values = as_dict(load_train_config("fgclip-v1"))
    values["optimizer"] |= {"batch_size": 8, "steps": 1, "lr": 0.0}
    values["run"] |= TINY["run"]
    second = parse_train_config(values, "test")
    train(second, datasets, tmp_path / "two", str(tmp_path / "one"))
    rows = [json.loads(x) for x in (tmp_path / "two" / "log.jsonl").read_text().splitlines()]
    scale = json.loads((tmp_path / "one" / "log.jsonl").read_text().splitlines()[-1])["logit_scale"]
    assert rows[-1]["region"] > 0 and rows[-1]["hard"] > 0
    for name in ("logit_scale", "logit_scale_finegraind", "logit_scale_hardneg"):
        assert rows[-1][name] == pytest.approx(scale, rel=1e-5)
    assert load_tokenizer(tmp_path / "two" / "model").get_vocab()


def test_siglip2_is_trained_on_images_without_long_captions(tmp_path):
    """Also by FG-CLIP 2's sigmoid loss, of batches where none has one."""
    texts = [{"txt": made_shards.sample(n)[1]["short_caption"].encode()} for n in range(16)]
    settings = stage1(steps=2)
    settings = dataclasses.replace(
        settings,
        model=dataclasses.replace(settings.model, backbone="siglip2"),
        sample=dataclasses.replace(settings.sample, patches=128),
        objective=dataclasses.replace(settings.objective, global_loss="sigmoid"),
    )
    train(settings, [others_tar(tmp_path / "set", texts)], tmp_path / "run")
    found = losses(tmp_path / "run")
    assert found[2]["long"] == 0 and 0 < found[2]["short"] < found[1]["short"]


def test_a_run_without_a_model_is_no_start(tmp_path, datasets):
    (tmp_path / "config.yaml").write_text("{}")
    settings = dataclasses.replace(config(), scratch=None)
    with pytest.raises(UsageError, match="--model .*: its run is not finished: resume it"):
        train(settings, datasets, tmp_path / "out", str(tmp_path))


def test_an_image_without_a_caption_is_not_in_its_retrieval(tmp_path):
    texts = [made_shards.sample(n)[1]["short_caption"] for n in range(12)]
    members = [{"json": json.dumps({"short_caption": t}).encode()} for t in texts]
    members[3] = {"json": b'{"long_caption": "a ball"}'}
    folder = others_tar(tmp_path / "set", members)
    found = train(stage1(steps=1), [folder], tmp_path / "run", eval_data=[folder])["evaluation"]
    assert found["long_i2t_r1"] == found["long_t2i_r1"] == 1  # one image, one caption
    assert found["short_t2i_r1"] < 1
    lone = others_tar(tmp_path / "lone", members[:2])
    found = train(stage1(steps=1), [folder], tmp_path / "run2", eval_data=[lone])["evaluation"]
    assert "short_i2t_r1" in found and "long_i2t_r1" not in found


WEIGHTS = [0.3, 1.0, 2.0, 2.5]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from(WEIGHTS)), min_size=1, max_size=12),
    st.integers(1, 5),
    st.sampled_from([None, 0, 7]),
)
def test_a_weight_says_how_often_a_sample_is_in_an_epoch(shards, window, seed):
    """On average over epochs, and all samples of a weight alike; in pieces the same as at once."""
    found = [Shard(str(i), size) for i, (size, _) in enumerate(shards)]
    weights = [weight for _, weight in shards]
    order = Sampler(found, seed, window, weights)
    epochs = [order.indices(epoch, 0, order.total) for epoch in range(10)]
    seen = Counter(index for epoch in epochs for index in epoch)
    for weight in set(weights):
        counts = [seen[SampleIndex(i, j)] for i, (size, w) in enumerate(shards) if w == weight
                  for j in range(size)]  # fmt: skip
        assert sum(counts) == 10 * round(weight * len(counts))
        assert not counts or max(counts) - min(counts) <= 1
    again = Sampler(found, seed, window, weights)
    half = order.total // 2
    assert again.indices(3, half, order.total) + again.indices(3, 0, half) == (
        epochs[3][half:] + epochs[3][:half]
    )


def test_the_order_without_weights_is_that_of_old_runs():
    shards = [Shard("a", 3), Shard("b", 0), Shard("c", 4), Shard("d", 2)]
    for order in (Sampler(shards, 5, 2), Sampler(shards, 5, 2, [1.0] * 4)):
        assert order.indices(1, 0, 9) == [
            (0, 0),
            (2, 2),
            (2, 0),
            (0, 2),
            (0, 1),
            (2, 3),
            (2, 1),
            (3, 1),
            (3, 0),
        ]


def test_data_may_be_named_in_one_argument_or_several():
    one = parse(["--output", "run", "--data", "A=2", "B", "--eval-data", "C"])
    two = parse(["--output", "run", "--data", "A=2", "--data", "B", "--eval-data", "C"])
    assert one == two and two.data == ["A=2", "B"] and two.eval_data == ["C"]


@pytest.mark.parametrize("given", ["A=0", "A=0.01"])
def test_a_weight_that_takes_no_sample_is_refused(datasets, given):
    with pytest.raises(UsageError, match="that weight takes none of 20 samples"):
        find_weighted([given.replace("A", datasets[0])])


def test_a_folder_whose_name_looks_weighted_is_read(tmp_path):
    made_shards.write(tmp_path / "year=2", 4)
    assert find_weighted([str(tmp_path / "year=2")])[1] == [1.0]
    assert find_weighted([str(tmp_path / "year=2=3")])[1] == [3.0]
    made_shards.write(tmp_path / "year", 4)
    with pytest.raises(UsageError, match="there is a folder of that name, and .*year too"):
        find_weighted([str(tmp_path / "year=2")])
    assert find_weighted([f"{tmp_path}/year=2/", f"{tmp_path}/year/=2"])[1] == [1.0, 2.0]


def test_a_weighted_run_resumes_exactly_and_only_as_it_was(tmp_path, datasets):
    """Stopped in its second epoch and resumed with workers; other weights are refused."""
    first, second = datasets
    weighted = [f"{first}=0.5", f"{second}=2"]  # 34 samples an epoch, 4 steps
    train(config(optimizer={"steps": 12}), weighted, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step-00000012")
    for other in ([f"{first}=2", f"{second}=2"], [first, second]):
        with pytest.raises(UsageError, match="'data': its weights were 0.5 of 3 shards, 2 of 3"):
            train(config(optimizer={"steps": 12}), other, tmp_path / "run")
    settings = config(optimizer={"steps": 12}, run={"workers": 2})
    assert train(settings, weighted, tmp_path / "run")["step"] == 12
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    same_weights(tmp_path / "whole", tmp_path / "run", 0.0)


def lengthened(output, data, schedule, *lengths):
    """Trains in `output` for each of `lengths` in turn, settings of the optimizer."""
    for length in lengths:
        train(config(optimizer={"schedule": schedule, "steps": None, **length}), data, output)


def test_an_extended_run_is_one_run_with_constant_rates(tmp_path, datasets, capsys):
    """Also where the length is given in epochs (of 4 steps), over the end of an epoch."""
    lengthened(tmp_path / "one", datasets, "constant", {"steps": 12})
    capsys.readouterr()
    more = ({"steps": 5}, {"steps": 7}, {"epochs": 3})
    lengthened(tmp_path / "run", datasets, "constant", *more)
    said = capsys.readouterr().err
    assert "extended from 5 to 7 steps: the result is that of one run of 7 steps" in said
    assert "extended from 7 to 12 steps: the result is that of one run" in said
    assert losses(tmp_path / "run") == losses(tmp_path / "one")
    same_weights(tmp_path / "one", tmp_path / "run", 0.0)
    assert "epochs: 3" in (tmp_path / "run" / "config.yaml").read_text()


def test_a_run_that_decays_is_extended_and_says_so(tmp_path, datasets, capsys):
    lengthened(tmp_path, datasets, "cosine", {"steps": 6}, {"steps": 8})
    assert "so the result is not that of one run of 8 (with optimizer.schedule constant it is)" in (
        capsys.readouterr().err
    )
    rates = {r["step"]: r["lr"] for line in (tmp_path / "log.jsonl").read_text().splitlines()
             if (r := json.loads(line))["group"] == "train"}  # fmt: skip
    assert len(rates) == 8 and rates[7] > rates[6]


def test_a_run_is_not_shortened_or_otherwise_changed(tmp_path, datasets):
    lengthened(tmp_path, datasets, "constant", {"steps": 6})
    for length, name in (({"steps": 5}, "steps"), ({"epochs": 1.0}, "epochs")):
        with pytest.raises(UsageError, match=f"run of 6 steps, now .: 'optimizer': {name} may"):
            lengthened(tmp_path, datasets, "constant", length)
    with pytest.raises(UsageError, match="'optimizer': schedule was constant, now cosine"):
        lengthened(tmp_path, datasets, "cosine", {"steps": 9})
    with pytest.raises(UsageError, match="'optimizer': lr was 0.001, now 0.1"):
        lengthened(tmp_path, datasets, "constant", {"steps": 9, "lr": 0.1})
