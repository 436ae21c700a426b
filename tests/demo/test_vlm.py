"""The demo VLM: its training examples are the pipeline's questions; the shipped model answers."""

import json
from pathlib import Path

import numpy as np
import pytest

from finehard.demo.render import render
from finehard.demo.vlm.examples import FULL_IMAGE, NEGATIVES, TASKS, make_example
from finehard.demo.vlm.views import crop_view, full_view
from finehard.demo.vocabulary import build_tokenizer
from finehard.negatives.swap import Swap, check
from finehard.schemas import why_invalid

MODEL = Path(__file__).parents[2] / "finehard" / "demo" / "models" / "vlm"


def examples(task, count=12):
    for index in range(count):
        yield make_example(task, render(5, index)[1], np.random.default_rng(index))


def crops(count):
    for index in range(count):
        picture, scene = render(5, index)
        for thing in scene.things:
            yield crop_view(picture, scene, thing, np.random.default_rng(index))


@pytest.mark.parametrize("task", TASKS)
def test_replies_fit_the_schema_and_survive_the_tokenizer(task):
    tokenizer = build_tokenizer()
    for example in examples(task):
        assert why_invalid(json.loads(example.reply), task) is None
        ids = tokenizer(example.reply, add_special_tokens=False).input_ids
        assert tokenizer.decode(ids) == example.reply
        assert len(ids) <= 110


def test_the_shipped_model_was_trained_on_the_current_prompts():
    from transformers import AutoTokenizer

    assert AutoTokenizer.from_pretrained(MODEL).get_vocab() == build_tokenizer().get_vocab()


def test_swaps_pass_the_checks_of_the_negatives_stage():
    for example in examples("negatives", 30):
        lines = example.question.split("\n")
        phrases = [line.split(". ", 1)[1] for line in lines if line[:1].isdigit()]
        for number, swaps in json.loads(example.reply).items():
            phrase, accepted = phrases[int(number) - 1], []
            for swap in swaps:
                negative = check(
                    phrase, Swap(swap["attribute"], swap["original"], swap["replacement"]), accepted
                )
                assert not isinstance(negative, str), (phrase, swap, negative)
                accepted.append(negative)
            assert len(accepted) in (0, NEGATIVES.ask_for)


def test_a_crop_has_its_object_at_the_centre():
    for view in crops(6):
        inside = [b for _, b in view.parts if b[0] < 0.5 < b[2] and b[1] < 0.5 < b[3]]
        assert inside, (view.image.size, view.parts)


def test_image_tokens_equal_those_of_transformers():
    torch = pytest.importorskip("torch")
    from finehard.demo.vlm.model import MEAN, PATCH, STD, build_model, image_tokens
    from finehard.demo.vlm.patches import make_patches

    torch.manual_seed(0)
    visual = build_model(build_tokenizer()).model.visual.eval()
    batch = make_patches([view.image for view in crops(3)])
    pixels = (batch.patches.float() / 255 - MEAN) / STD
    rows = torch.cat([p[:n] for p, n in zip(pixels, batch.grid.prod(-1).tolist(), strict=True)])
    doubled = rows.view(-1, 3, 1, PATCH**2).expand(-1, 3, 2, PATCH**2).reshape(len(rows), -1)
    with torch.inference_mode():
        theirs = visual(doubled, grid_thw=batch.grid).pooler_output
        ours = image_tokens(visual, *batch)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def _images(example, picture, scene, rng):
    return [
        full_view(picture, scene, rng).image
        if index == FULL_IMAGE
        else crop_view(picture, scene, scene.things[index], rng).image
        for index in example.images
    ]


def _content(text, images):
    """The parts of the message that `finehard.lmm.question.messages` makes."""
    for number, image in enumerate(images, 1):
        if len(images) > 1:
            yield {"type": "text", "text": f"Image {number}:"}
        yield {"type": "image", "image": image}
    yield {"type": "text", "text": text}


@pytest.mark.skipif(not (MODEL / "model.safetensors").exists(), reason="no model is shipped")
def test_the_shipped_model_answers_the_pipelines_questions():
    import torch
    from transformers import AutoProcessor, Qwen2VLForConditionalGeneration

    torch.set_num_threads(1)
    processor = AutoProcessor.from_pretrained(MODEL)
    model = Qwen2VLForConditionalGeneration.from_pretrained(MODEL).eval()
    valid = 0
    for task in TASKS:
        for index in range(3):
            picture, scene = render(5, index)
            rng = np.random.default_rng(index)
            example = make_example(task, scene, rng)
            content = list(_content(example.question, _images(example, picture, scene, rng)))
            inputs = processor.apply_chat_template(
                [{"role": "user", "content": content}],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
            )
            ids = model.generate(**inputs, max_new_tokens=400, do_sample=False)
            generated = ids[0, inputs["input_ids"].shape[1] :]
            try:
                reply = json.loads(processor.tokenizer.decode(generated, skip_special_tokens=True))
            except ValueError:
                continue
            valid += why_invalid(reply, task) is None
    assert valid >= 10  # of 12
