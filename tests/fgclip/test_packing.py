import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from finehard.fgclip import golden, losses, packing
from finehard.fgclip.chunked import LeftOut
from finehard.fgclip.model import FGCLIP, build
from finehard.fgclip.objective import Objective, ObjectiveConfig
from finehard.fgclip.packing import LONG, SHORT

from .conftest import tiny_config
from .test_golden import FILE


def padded_states(model: FGCLIP, kind: int, texts: list[tuple[int, ...]]) -> torch.Tensor:
    """States at the ends of texts padded to 77 or 248 tokens, computed as in the published code."""
    text, size = model.text_model, {SHORT: 77, LONG: 248}[kind]
    ids = torch.tensor([[*t, *[119] * (size - len(t))] for t in texts])
    tables = text.embeddings
    if kind == SHORT:
        positions = tables.position_embedding.weight
    else:
        ori, res = tables.position_embedding_ori.weight, tables.position_embedding_res.weight
        positions = torch.cat([ori[:20], res[20:]])
    x = tables.token_embedding(ids) + positions
    mask = torch.full((size, size), float("-inf")).triu(1)
    for layer in text.encoder.layers:
        y = layer.layer_norm1(x)
        a = layer.self_attn
        q, k, v = (
            p(y).unflatten(-1, (a.num_heads, -1)).transpose(1, 2)
            for p in (a.q_proj, a.k_proj, a.v_proj)
        )
        weights = (q @ k.transpose(-1, -2) * a.scale + mask).softmax(-1)
        x = x + a.out_proj((weights @ v).transpose(1, 2).flatten(2))
        x = x + layer.mlp(layer.layer_norm2(x))
    return text.final_layer_norm(x)[torch.arange(len(ids)), ids.argmax(1)]


words = st.lists(st.integers(0, 3), max_size=40)
texts_strategy = st.lists(st.tuples(st.sampled_from([SHORT, LONG]), words), min_size=1, max_size=12)


@settings(max_examples=25, deadline=None)
@given(texts_strategy, st.booleans())
def test_packed_texts_equal_padded_texts(texts, share):
    torch.manual_seed(0)
    model = build(tiny_config())
    texts = [(kind, (118, *ids, 119)) for kind, ids in texts]
    packed, which = packing.pack(texts, share)
    states = model.encode_texts(packed)[torch.tensor(which)]
    for i, (kind, tokens) in enumerate(texts):
        expected = padded_states(model, kind, [tokens])[0]
        torch.testing.assert_close(states[i], expected, atol=1e-5, rtol=0)


def test_each_distinct_prefix_is_computed_once():
    texts = [
        (SHORT, (118, 4, 5, 6, 119)),
        (SHORT, (118, 4, 7, 6, 119)),
        (SHORT, (118, 4, 5, 6, 119)),
        (LONG, (118, 4, 119)),
    ]
    packed, which = packing.pack(texts)
    assert which == [0, 1, 0, 2]
    # 5 of the first, 3 new of the second, none of the third, 3 of the fourth (its own positions).
    assert len(packed.ids) == 5 + 3 + 0 + 3
    assert len(packing.pack(texts, share_prefixes=False)[0].ids) == 5 + 5 + 3


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 100), max_size=40))
def test_rows_hold_every_token_once_in_two_groups(lengths):
    """So attention is one call a group, however many lengths there are."""
    texts = [(SHORT, (*range(n, 0, -1), i + 200)) for i, n in enumerate(lengths)]
    packed, _ = packing.pack(texts, share_prefixes=False)
    assert len(packed.groups) <= 2
    for part, (length, count) in zip(packed.inside.split(packed.sizes), packed.groups, strict=True):
        rows = part.unflatten(0, (count, length))
        assert (rows >= 0).any(1).all() and (length <= 32 or (rows >= 0).sum(1).min() > 32)
    for number, (_, tokens) in enumerate(texts):
        places = (packed.inside == number).nonzero()[:, 0]
        assert packed.ids[packed.spread[places]].tolist() == list(tokens)
        assert places.tolist() == list(range(places[0], places[0] + len(tokens)))


def test_trim_ends_at_the_first_end_of_text():
    ids = torch.tensor([[8, 1, 2, 9, 9, 9], [8, 9, 3, 9, 9, 9]])
    assert packing.trim(ids) == [(8, 1, 2, 9), (8, 9)]
    assert packing.trim(ids, end=1) == [(8, 1), (8,)]


def test_loss_and_gradients_equal_those_of_padded_texts():
    """The whole objective on the golden inputs: padded, trimmed only, and with shared prefixes."""
    data = golden.read(FILE)
    results = []
    for share in (None, False, True):
        model = golden.model_of(data)
        objective = Objective(model, ObjectiveConfig(mask_same=False))
        batch = golden.batch_of(data, bool(share))
        if share is None:
            rows = padded_rows(model, data, batch)
            model.encode_texts = lambda _, rows=rows: rows
        loss = objective.batch_losses(batch)["loss"]
        loss.backward()
        results.append((loss.detach(), {n: p.grad for n, p in model.named_parameters()}))
    for loss, gradients in results[1:]:
        torch.testing.assert_close(loss, results[0][0], atol=1e-5, rtol=0)
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, results[0][1][name], atol=1e-4, rtol=0)


def padded_rows(model: FGCLIP, data: dict, batch) -> torch.Tensor:
    """States of the padded golden texts, in the order of `batch`'s text indices."""
    groups = ["in/text_short", "in/text_long", "in/box_texts", "in/hard_texts"]
    rows = {}
    kept = golden._rows(data["in/box_infos"], data["in/box_nums"])[2]
    for name in groups:
        ids = data[name][kept] if name == "in/box_texts" else data[name]
        kind = LONG if name == "in/text_long" else SHORT
        for text, state in zip(
            packing.trim(ids), padded_states(model, kind, packing.trim(ids)), strict=True
        ):
            rows.setdefault((kind, text), state)
    return torch.stack(list(rows.values()))


def test_shared_prefix_gradients_are_summed_in_float32():
    """4096 ones added to one row: summed in bfloat16, as GPUs do, they would stop at 256."""
    values = torch.ones(2, 4, dtype=torch.bfloat16, requires_grad=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = torch.zeros(4096, dtype=torch.int64, device=device)
    packing._Spread.apply(values.to(device), rows).sum().backward()
    assert values.grad[0].tolist() == [4096] * 4


def test_masking_every_negative_gives_zero_loss():
    x = torch.nn.functional.normalize(torch.randn(4, 8), dim=-1)
    same = LeftOut(ids=(torch.ones(4), torch.ones(4)))
    loss = losses.contrastive(x, x, torch.arange(4), torch.tensor(5.0), same)
    assert torch.equal(loss, torch.zeros(4))
