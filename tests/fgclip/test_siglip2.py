"""The SigLIP 2 backbone: published names, equal features, exact padding, NaFlex batches."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.ops import roi_align
from transformers import Siglip2Config, Siglip2ImageProcessor, Siglip2Model

from finehard.errors import FinehardError
from finehard.fgclip import siglip2
from finehard.fgclip.naflex import SIZES, Naflex, batch_of, picture
from finehard.fgclip.packing import LONG, SHORT
from finehard.fgclip.padded import pad_texts

PAD, EOS = 0, 1


def config(width=32, layers=2, heads=2, vocab=60, positions=64, patch=8, patches=16, **text):
    tower = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": layers,
             "num_attention_heads": heads}  # fmt: skip
    return Siglip2Config(
        text_config={
            "vocab_size": vocab, "max_position_embeddings": positions, "pad_token_id": PAD,
            "bos_token_id": 2, "eos_token_id": EOS, **tower, **text,
        },
        vision_config={"patch_size": patch, "num_patches": patches, **tower},
    )  # fmt: skip


def published_shapes(vocab, width, inner, layers, positions, long, patches, patch):
    """Names and shapes that FG-CLIP 2's modelling code gives a model."""
    line = {"weight": (width, width), "bias": (width,)}
    norm = {"weight": (width,), "bias": (width,)}
    mlp = {
        "fc1.weight": (inner, width), "fc1.bias": (inner,), "fc2.weight": (width, inner),
        "fc2.bias": (width,),
    }  # fmt: skip
    shapes = {"logit_scale": (1,), "logit_bias": (1,)}

    def add(prefix, parts):
        shapes.update({f"{prefix}.{name}": shape for name, shape in parts.items()})

    tables = "text_model.embeddings"
    add(tables, {"token_embedding.weight": (vocab, width)})
    add(tables, {"position_embedding.weight": (positions, width)})
    add(tables, {f"position_embedding_{n}.weight": (long, width) for n in ("res", "ori")})
    add("vision_model.embeddings.patch_embedding",
        {"weight": (width, 3 * patch**2), "bias": (width,)})  # fmt: skip
    add("vision_model.embeddings.position_embedding", {"weight": (patches, width)})
    for tower in ("text_model", "vision_model"):
        for number in range(layers):
            layer = f"{tower}.encoder.layers.{number}"
            for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
                add(f"{layer}.self_attn.{name}", line)
            for name in ("layer_norm1", "layer_norm2"):
                add(f"{layer}.{name}", norm)
            add(f"{layer}.mlp", mlp)
    add("text_model.final_layer_norm", norm)
    add("vision_model.post_layernorm", norm)
    for head in ("text_model.head", "longtext_head", "boxtext_head"):
        add(head, line)
    for head in ("vision_model.head", "dense_feature_head"):
        add(head, {
            "probe": (1, 1, width), "attention.in_proj_weight": (3 * width, width),
            "attention.in_proj_bias": (3 * width,),
        })  # fmt: skip
        add(f"{head}.attention.out_proj", line)
        add(f"{head}.layernorm", norm)
        add(f"{head}.mlp", mlp)
    return shapes


def test_published_base_state_dict_loads_and_comes_out_again():
    base = {"width": 768, "layers": 12, "heads": 12, "vocab": 256_000, "patch": 16, "patches": 256}
    made = config(**base, intermediate_size=3072)
    made.vision_config.intermediate_size = 3072
    shapes = published_shapes(256_000, 768, 3072, 12, 64, 196, 256, 16)
    with torch.device("meta"):
        state = {name: torch.empty(shape) for name, shape in shapes.items()}
        model = siglip2.from_state(made, state)
    out = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert {name: out.pop(name) for name in siglip2.SCALES} == dict.fromkeys(siglip2.SCALES, ())
    assert out == shapes
    del state["boxtext_head.weight"]
    with pytest.raises(FinehardError, match=r"boxtext_head\.weight"), torch.device("meta"):
        siglip2.from_state(made, state)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    made = siglip2.build(config()).eval()
    with torch.no_grad():
        for parameter in made.parameters():  # no two heads or tables alike
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return made


def encoded(size, seed=0):
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "PNG")
    return out.getvalue()


@torch.no_grad()
def test_images_are_those_of_the_processor_and_of_siglip2(model, tmp_path):
    data = [encoded(size, i) for i, size in enumerate([(150, 230), (400, 130), (64, 500)])]
    naflex = Naflex(16, 256)
    patches = batch_of([picture(d, naflex, [])[0] for d in data], naflex.patch)
    images = [Image.open(io.BytesIO(d)) for d in data]
    images[2] = images[2].resize((224, 224), Image.Resampling.BICUBIC)  # below 128 pixels
    processor = Siglip2ImageProcessor(patch_size=16, max_num_patches=256)
    theirs = processor(images=images, return_tensors="pt")
    assert torch.equal(patches.shapes, theirs["spatial_shapes"])
    assert torch.equal(patches.mask.int(), theirs["pixel_attention_mask"])
    ours = (patches.pixels / 127.5 - 1) * patches.mask[..., None]
    torch.testing.assert_close(ours, theirs["pixel_values"])


def published_regions(dense, shapes, boxes, images):
    """RoIAlign on each image's own map."""
    features = []
    for box, image in zip(boxes, images.tolist(), strict=True):
        height, width = shapes[image].tolist()
        grid = dense[image, : height * width].T.unflatten(1, (height, width))[None]
        scaled = box * torch.tensor([width, height, width, height])
        features.append(roi_align(grid, [scaled[None]], (1, 1), 1.0, -1, True)[:, :, 0, 0])
    return torch.cat(features)


@torch.no_grad()
def test_features_are_those_of_the_published_mathematics(model):
    """Image and short text by transformers' own Siglip2; masks added, not boolean."""
    naflex = Naflex(8, 128)
    data = [encoded((130, 260)), encoded((300, 129), 1)]
    patches = batch_of([picture(d, naflex, [])[0] for d in data], naflex.patch)
    image, dense = model.encode_images(patches)
    plain = Siglip2Model(model.config).eval()
    plain.load_state_dict(model.state_dict(), strict=False)
    inputs = {
        "pixel_values": patches.pixels / 127.5 - 1, "spatial_shapes": patches.shapes,
        "pixel_attention_mask": patches.mask.int(),
    }  # fmt: skip
    out = plain.vision_model(**inputs)
    torch.testing.assert_close(image, out.pooler_output, atol=1e-5, rtol=0)
    states, head = out.last_hidden_state, model.dense_feature_head
    hidden = torch.zeros_like(patches.mask, dtype=torch.float32).masked_fill(
        ~patches.mask, torch.finfo(torch.float32).min
    )
    added = hidden[:, None].expand(-1, states.shape[1], -1).repeat_interleave(head.num_heads, 0)
    attended = head.attention(states, states, states, attn_mask=added)[0]
    expected = attended + head.mlp(head.layernorm(attended))
    mask = patches.mask
    torch.testing.assert_close(dense.features[mask], expected[mask], atol=1e-5, rtol=0)
    by_auto = model.get_image_dense_feature(**inputs)
    torch.testing.assert_close(dense.features[mask], by_auto[mask], atol=1e-5, rtol=0)

    boxes = torch.tensor([[0.1, 0.2, 0.7, 0.9], [0, 0, 1, 1], [0.5, 0, 1, 0.3], [0.9, 0.9, 1, 1]])
    images = torch.tensor([1, 0, 1, 0])
    regions = model.region_features(dense, boxes, images)
    expected = published_regions(expected, patches.shapes, boxes, images)
    torch.testing.assert_close(regions, expected, atol=1e-5, rtol=0)

    short, long = (5, 9, 7, EOS), tuple(range(2, 50)) * 3 + (EOS,)
    texts, which = pad_texts([(LONG, long), (SHORT, short), (SHORT, short)], (64, 196), PAD)
    states = model.encode_texts(texts)
    assert which == [1, 0, 0] and len(states) == 2
    ids = torch.tensor([[*short] + [PAD] * 60])
    out = plain.text_model(ids)
    torch.testing.assert_close(model.short_features(states)[:1], out.pooler_output)
    box = model.boxtext_head(out.last_hidden_state[:, -1])
    torch.testing.assert_close(model.region_text_features(states)[:1], box)
    torch.testing.assert_close(
        model.get_text_features(ids, walk_type="box").pooler_output, box, atol=1e-5, rtol=0
    )
    ids = torch.tensor([[*long] + [PAD] * (196 - len(long))])
    first, tables = torch.zeros(196, 1), model.text_model.embeddings
    first[:20] = 1  # the published masks over both tables
    rows = tables.position_embedding_ori.weight * first
    rows = rows + tables.position_embedding_res.weight * (1 - first)
    states_long = model.text_model.encoder(inputs_embeds=tables.token_embedding(ids) + rows)[0]
    expected = model.longtext_head(model.text_model.final_layer_norm(states_long)[:, -1])
    torch.testing.assert_close(model.long_features(states)[1:], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        model.get_text_features(ids, walk_type="long").pooler_output, expected, atol=1e-5, rtol=0
    )


@torch.no_grad()
def test_padding_cannot_be_cut(model):
    """Why texts are not packed: padding is attended to."""
    tokens = (5, 9, 7, EOS)
    whole, _ = pad_texts([(SHORT, tokens)], (64, 196), PAD)
    cut, _ = pad_texts([(SHORT, tokens)], (16, 196), PAD)
    assert (model.encode_texts(whole) - model.encode_texts(cut)).abs().max() > 1e-2


@torch.no_grad()
@settings(deadline=None, max_examples=15)
@given(st.data())
def test_texts_by_kind_and_once_equal_one_by_one(model, data):
    token = st.integers(2, 59)
    text = st.tuples(st.sampled_from([SHORT, LONG]), st.lists(token, max_size=12).map(tuple))
    texts = data.draw(st.lists(text, min_size=1, max_size=6))
    padded, which = pad_texts([*texts, texts[0]], (64, 196), PAD)
    assert len(padded.short) + len(padded.long) == len(set(texts))
    states = model.encode_texts(padded)[which]
    for state, one in zip(states, [*texts, texts[0]], strict=True):
        alone = model.encode_texts(pad_texts([one], (64, 196), PAD)[0])
        torch.testing.assert_close(state, alone[0], atol=1e-5, rtol=0)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.integers(1, 700), st.integers(1, 700)), min_size=1, max_size=3),
    st.sampled_from(SIZES),
)
def test_a_batch_has_the_patches_that_its_largest_image_fills(sizes, most):
    naflex = Naflex(16, most)
    pictures = [picture(encoded(size), naflex, [(-1, 0, 0.5, 2)]) for size in sizes]
    assert all(boxes == [(0, 0, 0.5, 1)] for _, boxes in pictures)
    patches = batch_of([p for p, _ in pictures], naflex.patch)
    counts = [196 if min(size) < 128 else (size[0] // 16) * (size[1] // 16) for size in sizes]
    expected = min(most, next((s for s in SIZES if max(counts) <= s), 1024))
    assert patches.pixels.shape[1:] == (expected, 768)
    assert torch.equal(patches.mask.sum(1), patches.shapes.prod(1))
    assert (patches.mask.sum(1) <= expected).all() and (patches.shapes > 0).all()


def test_saved_folder_loads_equal_with_and_without_scales(model, tmp_path):
    from safetensors.torch import load_file, save_file

    model.save_pretrained(tmp_path)
    again = siglip2.load(tmp_path)
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    file = tmp_path / "model.safetensors"
    state = load_file(file)
    save_file({k: v for k, v in state.items() if k not in siglip2.SCALES}, file, {"format": "pt"})
    assert float(siglip2.load(tmp_path).logit_scale_hardneg.exp().detach()) == pytest.approx(100)
    del state["dense_feature_head.probe"]
    save_file(state, file, {"format": "pt"})
    with pytest.raises(FinehardError, match="first dense_feature_head.probe"):
        siglip2.load(tmp_path)


@torch.no_grad()
def test_plain_siglip2_loads_and_keeps_its_features(tmp_path):
    torch.manual_seed(2)
    plain = Siglip2Model(config()).eval()
    plain.save_pretrained(tmp_path)
    loaded = siglip2.load(tmp_path).eval()
    texts, _ = pad_texts([(SHORT, (5, 9, EOS))], (64, 196), PAD)
    states = loaded.encode_texts(texts)
    expected = plain.get_text_features(texts.short).pooler_output
    for features in (loaded.short_features, loaded.long_features, loaded.region_text_features):
        torch.testing.assert_close(features(states), expected)
    rows = loaded.text_model.embeddings.positions()
    assert torch.equal(rows[64:84], rows[:20]) and torch.equal(rows[84], rows[20])
