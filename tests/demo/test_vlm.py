"""The demo VLM: its lessons are the pipeline's questions, and the shipped model answers them."""

import json
from pathlib import Path

import numpy as np
import pytest

from finehard.demo.render import render
from finehard.demo.vlm.examples import NEGATIVES, TASKS, lesson
from finehard.demo.vlm.views import cut
from finehard.demo.vocabulary import build_tokenizer
from finehard.negatives.swap import Swap, check
from finehard.schemas import why_invalid

MODEL = Path(__file__).parents[2] / "finehard" / "demo" / "models" / "vlm"


def lessons(task, count=12):
    for index in range(count):
        yield lesson(task, render(5, index)[1], np.random.default_rng(index))


def cut_outs(count):
    for index in range(count):
        picture, scene = render(5, index)
        for thing in scene.things:
            yield cut(picture, scene, thing, np.random.default_rng(index)), scene


@pytest.mark.parametrize("task", TASKS)
def test_the_right_reply_fits_the_schema_and_survives_the_tokenizer(task):
    tokenizer = build_tokenizer()
    for item in lessons(task):
        assert why_invalid(json.loads(item.reply), task) is None
        ids = tokenizer(item.reply, add_special_tokens=False).input_ids
        assert tokenizer.decode(ids) == item.reply
        assert len(ids) <= 110


def test_the_bundled_model_was_taught_the_prompts_that_are_here():
    from transformers import AutoTokenizer

    assert AutoTokenizer.from_pretrained(MODEL).get_vocab() == build_tokenizer().get_vocab()


def test_taught_swaps_pass_the_checks_of_the_negatives_stage():
    for item in lessons("negatives", 30):
        phrases = [line.split(". ", 1)[1] for line in item.text.split("\n") if line[:1].isdigit()]
        for number, swaps in json.loads(item.reply).items():
            phrase, kept = phrases[int(number) - 1], []
            for swap in swaps:
                made = check(
                    phrase, Swap(swap["attribute"], swap["original"], swap["replacement"]), kept
                )
                assert not isinstance(made, str), (phrase, swap, made)
                kept.append(made)
            assert len(kept) in (0, NEGATIVES.ask_for)


def test_the_parts_of_a_cut_out_lie_where_the_cut_out_shows_them():
    for view, _ in cut_outs(6):
        inside = [b for _, b in view.parts if b[0] < 0.5 < b[2] and b[1] < 0.5 < b[3]]
        assert inside, (view.image.size, view.parts)


def test_training_computes_image_tokens_as_transformers_does():
    torch = pytest.importorskip("torch")
    from finehard.demo.vlm.model import MEAN, PATCH, STD, build_model, image_tokens
    from finehard.demo.vlm.patches import patches_of

    torch.manual_seed(0)
    visual = build_model(build_tokenizer()).model.visual.eval()
    batch = patches_of([view.image for view, _ in cut_outs(3)])
    pixels = (batch.patches.float() / 255 - MEAN) / STD
    rows = torch.cat([p[:n] for p, n in zip(pixels, batch.grid.prod(-1).tolist(), strict=True)])
    doubled = rows.view(-1, 3, 1, PATCH**2).expand(-1, 3, 2, PATCH**2).reshape(len(rows), -1)
    with torch.inference_mode():
        theirs = visual(doubled, grid_thw=batch.grid).pooler_output
        ours = image_tokens(visual, *batch)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not (MODEL / "model.safetensors").exists(), reason="no model is shipped")
def test_the_shipped_model_answers_the_questions_of_the_pipeline():
    from finehard.demo.vlm.measure import Answerer, shown

    answerer = Answerer(MODEL)
    valid = 0
    for task in TASKS:
        for index in range(3):
            picture, scene = render(5, index)
            rng = np.random.default_rng(index)
            item = lesson(task, scene, rng)
            reply = answerer.reply(item.text, shown(item, picture, scene, rng))
            try:
                valid += why_invalid(json.loads(reply), task) is None
            except ValueError:
                continue
    assert valid >= 10  # of 12
