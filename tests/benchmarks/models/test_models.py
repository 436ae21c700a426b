"""Features of each family equal those of its own library."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize
from torchvision.ops import roi_align
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from finehard.benchmarks.loading import load_model
from finehard.benchmarks.models.forward import place
from finehard.errors import FinehardError, UsageError
from finehard.fgclip import model as fgclip
from finehard.fgclip.objective import MEAN, STD
from finehard.fgclip.tokenizer import load_tokenizer

from .conftest import CHINESE, TEXTS

KINDS = ("short", "long", "region")
FOLDERS = (
    "fgclip_folder", "fgclip2_folder", "clip_folder", "siglip_folder", "siglip2_folder",
    "open_clip_folder",
)  # fmt: skip


def spec_of(name, request):
    folder = request.getfixturevalue(name)
    return f"open_clip:local-dir:{folder}" if name == "open_clip_folder" else str(folder)


@pytest.fixture(params=FOLDERS)
def loaded(request):
    return load_model(spec_of(request.param, request), "cpu")


def close(ours, theirs):
    theirs = normalize(theirs.detach(), dim=-1).numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def roi(dense, box):
    scale = torch.tensor([dense.shape[2], dense.shape[1]] * 2)
    rois = [torch.tensor(box, dtype=torch.float32).reshape(-1, 4) * scale]
    return roi_align(dense[None], rois, (1, 1), aligned=True)[:, :, 0, 0]


def test_every_family_gives_unit_features(loaded, pictures, boxes):
    images = loaded.encode_images(pictures)
    assert images.shape[0] == 3 and images.dtype == np.float32
    regions = loaded.encode_boxes(pictures, boxes)
    assert [len(r) for r in regions] == [2, 0, 1]
    texts = [loaded.encode_texts(TEXTS, kind) for kind in KINDS]
    for rows in (images, *texts, regions[0], regions[2]):
        assert rows.shape[1] == images.shape[1]
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    lengths = loaded.describe()["text_lengths"]
    assert set(lengths) == set(KINDS) == set(loaded.cut)
    assert loaded.cut == {"short": 1, "long": 1, "region": 1}


def test_batches_change_no_feature(loaded, pictures, boxes, monkeypatch):
    whole = loaded.encode_images(pictures), *loaded.encode_boxes(pictures, boxes)
    loaded.batch = 2
    parts = loaded.encode_images(pictures), *loaded.encode_boxes(pictures, boxes)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_no_images_and_no_texts_give_no_rows(loaded):
    assert len(loaded.encode_images([])) == len(loaded.encode_texts([], "short")) == 0
    assert loaded.encode_boxes([], []) == []


def test_fgclip_equals_its_published_computation(fgclip_folder, pictures, boxes):
    ours = load_model(fgclip_folder, "cpu")
    net = fgclip.load(fgclip_folder).eval()
    tokenizer = load_tokenizer(fgclip_folder)
    mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
    pixels = []
    for picture in pictures:
        squashed = np.asarray(picture.resize((32, 32), Image.Resampling.BICUBIC))
        pixels.append((torch.tensor(squashed).permute(2, 0, 1) / 255 - mean) / std)
    pixels = torch.stack(pixels)
    image = net.get_image_features(pixels).pooler_output.detach()
    # Pillow's and torch's resizing differ by a gray level
    np.testing.assert_allclose(ours.encode_images(pictures), normalize(image, dim=-1), atol=2e-3)
    dense = net.encode_images(pixels)[1].detach()
    region = normalize(roi(dense[0], boxes[0]), dim=-1)
    np.testing.assert_allclose(ours.encode_boxes(pictures, boxes)[0], region, atol=5e-3)
    ids = tokenizer(
        TEXTS, padding="max_length", truncation=True, max_length=77, return_tensors="pt"
    )
    short = net.get_text_features(ids["input_ids"]).pooler_output
    close(ours.encode_texts(TEXTS, "short"), short)
    close(ours.encode_texts(TEXTS, "region"), short)
    assert np.abs(ours.encode_texts(TEXTS, "long") - ours.encode_texts(TEXTS, "short")).max() > 0.1
    assert ours.describe()["text_lengths"] == {"short": 77, "long": 248, "region": 77}


def test_padded_images_move_their_boxes(fgclip_folder, tmp_path, pictures):
    """A box over the whole picture is the picture's part of the square."""
    import shutil

    folder = shutil.copytree(fgclip_folder, tmp_path / "padded")
    (folder / "sample.json").write_text(json.dumps({"fit": "pad"}))
    wide = pictures[2].crop((0, 0, 32, 16))  # so that nothing is resized
    square = Image.new("RGB", (32, 32))
    square.paste(wide, (0, 8))
    whole = np.array([(0.0, 0.0, 1.0, 1.0)])
    middle = np.array([(0.0, 0.25, 1.0, 0.75)])
    padded, squashed = load_model(folder, "cpu"), load_model(fgclip_folder, "cpu")
    a, b = padded.encode_boxes([wide], [whole]), squashed.encode_boxes([square], [middle])
    np.testing.assert_allclose(a[0], b[0], atol=1e-5)


@torch.no_grad()
def test_clip_equals_transformers(clip_folder, pictures, boxes):
    ours = load_model(clip_folder, "cpu")
    net = AutoModel.from_pretrained(clip_folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(clip_folder)
    processor = AutoImageProcessor.from_pretrained(clip_folder)
    pixels = processor(pictures, return_tensors="pt")
    close(ours.encode_images(pictures), net.get_image_features(**pixels).pooler_output)
    ids = tokenizer(TEXTS, padding=True, truncation=True, max_length=77, return_tensors="pt")
    for kind in KINDS:
        close(ours.encode_texts(TEXTS, kind), net.get_text_features(**ids).pooler_output)
    square = [pictures[2]]  # neither cropped nor squashed
    out = net.vision_model(**processor(square, return_tensors="pt"), output_hidden_states=True)
    before, layer = out.hidden_states[-2], net.vision_model.encoder.layers[-1]
    x = before + layer.self_attn.out_proj(layer.self_attn.v_proj(layer.layer_norm1(before)))
    x = x + layer.mlp(layer.layer_norm2(x))
    x = net.visual_projection(net.vision_model.post_layernorm(x[:, 1:]))
    dense = x[0].T.unflatten(1, (4, 4))
    close(ours.encode_boxes(square, boxes[2:])[0], roi(dense, boxes[2]))


@torch.no_grad()
@pytest.mark.parametrize("name", ["siglip_folder", "siglip2_folder"])
def test_siglip_equals_transformers(name, request, pictures, boxes):
    folder = request.getfixturevalue(name)
    ours = load_model(folder, "cpu")
    net = AutoModel.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    processor = AutoImageProcessor.from_pretrained(folder)
    pixels = processor(pictures, return_tensors="pt")
    close(ours.encode_images(pictures), net.get_image_features(**pixels).pooler_output)
    ids = tokenizer(
        [t.lower() for t in TEXTS], padding="max_length", truncation=True, max_length=64,
        return_tensors="pt",
    )["input_ids"]  # fmt: skip
    assert ids.shape == (4, 64)
    close(ours.encode_texts(TEXTS, "short"), net.get_text_features(input_ids=ids).pooler_output)
    one = processor(pictures[:1], return_tensors="pt")
    head = net.vision_model.head
    height, width = one["spatial_shapes"][0].tolist() if "spatial_shapes" in one else (4, 4)
    states = net.vision_model(**one).last_hidden_state[:, : height * width]
    rows = []
    for number in range(height * width):  # each patch in the place of the head's probe
        head.probe.data = states[:, number : number + 1].clone()
        rows.append(head(states))
    dense = torch.cat(rows).T.unflatten(1, (height, width))
    close(ours.encode_boxes(pictures, boxes)[0], roi(dense, boxes[0]))


def published_patches(image, patch, most):
    """As in FG-CLIP 2's scripts: the number of patches that an image fills."""
    fills = (image.width // patch) * (image.height // patch)
    return min(most, next((n for n in (128, 256, 576, 784) if fills <= n), 1024))


@torch.no_grad()
def test_fgclip2_equals_its_modelling_file(fgclip2_folder, pictures):
    ours = load_model(fgclip2_folder, "cpu")
    net = AutoModel.from_pretrained(fgclip2_folder, trust_remote_code=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(fgclip2_folder)
    processor = AutoImageProcessor.from_pretrained(fgclip2_folder)
    large = [*pictures, *(p.resize((9 * p.width // 2, 4 * p.height)) for p in pictures)]
    # RoIAlign's samples are as many as a box has patches, rounded up: none is a whole number here
    given = [np.array([(0.11, 0.22, 0.63, 0.94), (0.02, 0.01, 0.97, 0.98)])] * len(large)
    found = ours.encode_images(large), ours.encode_boxes(large, given)
    numbers = set()
    for row, (image, own) in enumerate(zip(large, given, strict=True)):
        most = published_patches(image, 8, 576)
        numbers.add(most)
        pixels = processor(image, max_num_patches=most, return_tensors="pt")
        close(found[0][row : row + 1], net.get_image_features(**pixels).pooler_output)
        corners = (own * np.array([image.width, image.height] * 2)).tolist()
        size = [(image.height, image.width)]
        regions = net.get_image_region_features(**pixels, image_sizes=size, region_infos=[corners])
        close(found[1][row], regions[0])
    assert numbers == {128, 576}
    texts = [*TEXTS, *CHINESE]
    paths = (("short", "short", 64), ("region", "box", 64), ("long", "long", 196))
    for kind, walk, length in paths:
        ids = tokenizer(
            [t.lower() for t in texts], padding="max_length", truncation=True, max_length=length,
            return_tensors="pt",
        )["input_ids"]  # fmt: skip
        assert ids.shape == (len(texts), length)
        theirs = net.get_text_features(ids, walk_type=walk).pooler_output
        close(ours.encode_texts(texts, kind), theirs)
    short, region, long = (ours.encode_texts(TEXTS[:1], kind) for kind in KINDS)
    assert min(np.abs(short - region).max(), np.abs(short - long).max()) > 0.1
    assert ours.describe()["text_lengths"] == {"short": 64, "long": 196, "region": 64}


def test_a_published_fgclip2_has_equal_features(
    fgclip2_folder, published_fgclip2_folder, pictures, boxes
):
    ours, theirs = (load_model(f, "cpu") for f in (fgclip2_folder, published_fgclip2_folder))
    assert theirs.describe() == {**ours.describe(), "image_size": "at most 1024 patches"}
    np.testing.assert_array_equal(theirs.encode_images(pictures), ours.encode_images(pictures))
    np.testing.assert_array_equal(
        theirs.encode_boxes(pictures, boxes)[0], ours.encode_boxes(pictures, boxes)[0]
    )
    for kind in KINDS:
        rows = (one.encode_texts(TEXTS, kind) for one in (theirs, ours))
        np.testing.assert_array_equal(*rows)


def test_an_fgclip2_of_a_run_is_not_taken_for_siglip2(fgclip2_folder, tmp_path):
    """A checkpoint of transformers says nothing of the heads but in its weights."""
    import shutil

    folder = shutil.copytree(fgclip2_folder, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["Siglip2Model"]}))
    assert load_model(folder, "cpu").describe()["family"] == "FG-CLIP 2"


def test_texts_in_another_language_are_counted(clip_folder, siglip_folder, fgclip2_folder):
    """By CLIP's bytes, SigLIP's unknown word; a tokenizer that has seen the characters has none."""
    texts = [*TEXTS[:3], "a café in Zürich, with a view", *CHINESE]
    counts = {f: load_model(f, "cpu").spelled(texts) for f in (clip_folder, siglip_folder)}
    assert counts == {clip_folder: 4, siglip_folder: 5}
    assert load_model(fgclip2_folder, "cpu").spelled([*TEXTS, *CHINESE]) == 0


@torch.no_grad()
def test_open_clip_equals_open_clip(open_clip_folder, pictures, boxes):
    import open_clip

    spec = f"local-dir:{open_clip_folder}"
    ours = load_model(f"open_clip:{spec}", "cpu")
    net, _, preprocess = open_clip.create_model_and_transforms(spec)
    net.eval()
    tokenizer = open_clip.get_tokenizer(spec)
    pixels = torch.stack([preprocess(p) for p in pictures])
    close(ours.encode_images(pictures), net.encode_image(pixels))
    close(ours.encode_texts(TEXTS, "long"), net.encode_text(tokenizer(TEXTS)))
    assert ours.describe()["text_lengths"]["long"] == 20
    squashed = torch.stack([preprocess(pictures[2])])
    before = {}
    last = net.visual.transformer.resblocks[-1]
    last.register_forward_pre_hook(lambda _, inputs: before.update(x=inputs[0]))
    net.encode_image(squashed)
    x = before["x"]
    alone = torch.cat([last.attn(t, t, t)[0] for t in last.ln_1(x).split(1, 1)], 1)
    x = x + alone
    x = x + last.mlp(last.ln_2(x))
    dense = (net.visual.ln_post(x)[0, 1:] @ net.visual.proj).T.unflatten(1, (4, 4))
    close(ours.encode_boxes(pictures[2:], boxes[2:])[0], roi(dense, boxes[2]))


def test_a_box_without_a_dense_map_is_a_crop(open_clip_folder, pictures):
    ours = load_model(f"open_clip:local-dir:{open_clip_folder}", "cpu")
    ours._dense = False
    found = ours.encode_boxes([pictures[2]], [np.array([(0, 0, 1, 1), (0.5, 0.5, 0.5, 0.5)])])
    close(found[0][:1], torch.tensor(ours.encode_images([pictures[2]])))
    assert len(found[0]) == 2


def test_each_image_is_encoded_once_for_all_its_boxes(loaded, pictures, monkeypatch):
    calls = []
    if not hasattr(loaded, "maps"):
        pytest.skip("crops")
    whole = loaded.maps
    monkeypatch.setattr(loaded, "maps", lambda images: calls.append(len(images)) or whole(images))
    many = np.tile([0.1, 0.1, 0.5, 0.5], (50, 1))
    loaded.encode_boxes(pictures, [many] * 3)
    assert sum(calls) == 3


@pytest.mark.parametrize("name", ["fgclip_folder", "fgclip2_folder"])
def test_bf16_is_close_to_fp32(name, request, pictures):
    folder = request.getfixturevalue(name)
    exact, fast = (load_model(folder, "cpu", p) for p in ("fp32", "bf16"))
    a, b = exact.encode_images(pictures), fast.encode_images(pictures)
    assert b.dtype == np.float32 and 0 < np.abs(a - b).max() < 0.05
    assert fast.describe()["precision"] == "bf16" and exact.describe()["precision"] == "fp32"


def test_a_pytorch_bin_of_fgclip_is_known_as_such(fgclip_folder, tmp_path):
    import shutil

    from safetensors.torch import load_file

    folder = shutil.copytree(fgclip_folder, tmp_path / "bin")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": None}))
    assert load_model(folder, "cpu").describe()["family"] == "FG-CLIP"


@pytest.mark.parametrize(
    "spec, words",
    [
        ("/nowhere/at/all", "no such folder"),
        ("nobody/no-such-model", "no model in nobody/no-such-model"),
        ("open_clip:ViT-B-32", "no weights"),
        ("open_clip:ViT-B-32:/nowhere.pt", "no open_clip model"),
        ("open_clip:no-such:/nowhere.pt", "no open_clip model"),
        ("open_clip:ViT-B-32-quickgelu:openai", "no open_clip model"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_one_line(spec, words, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    if spec.startswith("open_clip"):
        pytest.importorskip("open_clip")
    with pytest.raises((FinehardError, UsageError), match=words) as caught:
        load_model(spec, "cpu")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_models_of_other_kinds_are_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(FinehardError, match="is a bert model"):
        load_model(tmp_path, "cpu")


def test_incomplete_models_are_refused(clip_folder, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(clip_folder, tmp_path / "clip")
    state = load_file(folder / "model.safetensors")
    del state["visual_projection.weight"]
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(FinehardError, match="visual_projection.weight"):
        load_model(folder, "cpu")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(FinehardError, match="no complete model in"):
        load_model(folder, "cpu")


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(FinehardError, match="no device cuda:77"):
        place("cuda:77", None)
    with pytest.raises(FinehardError, match="no device nonsense"):
        place("nonsense", None)
