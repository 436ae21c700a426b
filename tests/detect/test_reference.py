"""Each backend agrees with the model's own library on the same input."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from finehard.detect import Detection, load_detector
from finehard.detect.boxes import postprocess
from finehard.detect.letterbox import letterbox, undo_letterbox

PHRASES = ["a bus", "a man in a long coat", "a red wheel", "a window"]


def assert_same(detections: list[Detection], expected: list[Detection]) -> None:
    """Compares up to float32 rounding, which can swap two boxes of nearly equal score."""
    assert len(detections) == len(expected) > 5
    for one, other in zip(sorted(detections), sorted(expected), strict=True):
        assert one.phrase == other.phrase
        assert [*one.box, one.score] == pytest.approx([*other.box, other.score], abs=3e-4)


def postprocessed(detector, boxes, scores, labels) -> list[Detection]:
    return postprocess(np.asarray(boxes), np.asarray(scores), np.asarray(labels), detector._config)


@pytest.mark.parametrize("name", ["owlv2", "owlvit"])
def test_owl_agrees_with_transformers(name, tiny, photos):
    import torch
    from transformers import AutoImageProcessor, AutoTokenizer

    detector = load_detector(replace(tiny(name), raw_nms_iou=1.0))
    model, folder = detector._model, detector._config.model
    tokenizer = AutoTokenizer.from_pretrained(folder)
    processor = AutoImageProcessor.from_pretrained(folder)
    canvas, fit = detector._canvas(photos[0])
    # The canvas needs no resizing; the processor only normalises it.
    pixels = processor([Image.fromarray(canvas)], return_tensors="pt").pixel_values
    text = tokenizer(
        PHRASES, padding="max_length", truncation=True, max_length=16, return_tensors="pt"
    )
    with torch.inference_mode():
        output = model(
            input_ids=text.input_ids, attention_mask=text.attention_mask, pixel_values=pixels
        )
    side = canvas.shape[0]
    result = processor.post_process_object_detection(
        output, threshold=-1.0, target_sizes=torch.tensor([[side, side]])
    )[0]
    boxes = undo_letterbox(result["boxes"].numpy(), fit)
    expected = postprocessed(detector, boxes, result["scores"], result["labels"])
    assert_same(detector.detect(photos[:1], [PHRASES])[0], expected)


def test_owlv2_pads_images_as_transformers_does(tiny):
    from transformers import AutoImageProcessor

    detector = load_detector(tiny("owlv2"))
    wide = Image.new("RGB", (200, 100), (10, 200, 90))
    processor = AutoImageProcessor.from_pretrained(detector._config.model)
    theirs = processor([wide], return_tensors="pt").pixel_values[0].numpy()
    canvas, _ = detector._canvas(wide)
    ours = (canvas.transpose(2, 0, 1) - detector._mean[0].numpy()) / detector._std[0].numpy()
    below = slice(theirs.shape[1] * 3 // 5, None)  # the image ends in the middle
    assert np.allclose(theirs[:, below], ours[:, below], atol=1e-5)


@pytest.mark.parametrize("name", ["grounding_dino", "mm_grounding_dino"])
def test_grounding_dino_agrees_with_transformers(name, tiny, photos):
    import torch
    from transformers import AutoImageProcessor, AutoTokenizer

    config = replace(tiny(name), raw_nms_iou=1.0)
    detector = load_detector(config)
    tokenizer = AutoTokenizer.from_pretrained(config.model)
    processor = AutoImageProcessor.from_pretrained(config.model)
    image = photos[2]  # wide, so that the canvas has padding
    canvas, fit = letterbox(image, 128, 0, centred=False)
    inside = Image.fromarray(canvas[: fit.height, : fit.width])
    # The square image makes the processor pad the first one.
    pixels = processor([inside, Image.new("RGB", (128, 128))], return_tensors="pt", do_resize=False)
    text = tokenizer(" . ".join(PHRASES) + " .", return_tensors="pt")
    with torch.inference_mode():
        output = detector._model(
            pixel_values=pixels.pixel_values[:1],
            pixel_mask=pixels.pixel_mask[:1],
            input_ids=text.input_ids,
            attention_mask=text.attention_mask,
        )
    probabilities = output.logits[0].sigmoid()
    words = probabilities[:, : text.input_ids.shape[1]].clone()
    ends = torch.isin(text.input_ids[0], torch.tensor([101, 102, 1012]))
    phrase_of = torch.cumsum(text.input_ids[0] == 1012, dim=0)
    words[:, ends] = -1.0
    best = words.max(dim=1)
    half = output.pred_boxes[0, :, 2:] / 2
    centre = output.pred_boxes[0, :, :2]
    boxes = torch.cat([centre - half, centre + half], dim=1)
    expected = postprocessed(detector, boxes, best.values, phrase_of[best.indices])
    detections = detector.detect([image], [PHRASES])[0]
    assert_same(detections, expected)
    # Where a word scores higher than any special token, transformers reports the same score.
    official = probabilities.max(dim=1).values
    assert (torch.isclose(official, best.values)).sum() > 5


def test_yolo_world_agrees_with_ultralytics(tiny, photos):
    from ultralytics import YOLOWorld

    config = replace(tiny("yolo_world"), raw_nms_iou=1.0, floor=0.01, score=0.01, max_raw=999)
    detector = load_detector(config)
    embedded = detector._embed(PHRASES)
    image = photos[0].resize((160, 120))  # no scaling, and padding above and below
    theirs = YOLOWorld("yolov8n-worldv2.yaml")
    theirs.model.load_state_dict(detector._model.state_dict())
    theirs.model.txt_feats = embedded[None].clone()
    theirs.model.model[-1].nc = len(PHRASES)
    theirs.model.names = list(PHRASES)
    theirs.predictor = None
    # Without NMS: theirs runs on unclipped boxes, ours on clipped ones.
    result = theirs.predict(
        image, imgsz=160, conf=0.009, iou=1.0, max_det=999, rect=False, verbose=False, device="cpu"
    )[0].boxes
    expected = postprocessed(detector, result.xyxyn, result.conf, result.cls.long())
    detections = detector.detect([image], [PHRASES])[0]
    assert len(detections) > 100
    assert_same(detections, expected)


def test_yolo_world_padding_does_not_change_scores(tiny, photos):
    import torch

    detector = load_detector(tiny("yolo_world"))
    model = detector._model
    canvas, _ = letterbox(photos[0], 160, 114, centred=True)
    pixels = torch.from_numpy(canvas)[None].permute(0, 3, 1, 2).float() / 255
    texts = detector._embed(PHRASES)[None]

    def scores(texts):
        model.model[-1].nc = texts.shape[1]
        with torch.inference_mode():
            return model.predict(pixels, txt_feats=texts)[0][:, 4 : 4 + len(PHRASES)]

    bare = scores(texts)
    copies = scores(torch.cat([texts, texts[:, :1].expand(-1, 28, -1)], dim=1))
    zeros = scores(torch.cat([texts, torch.zeros(1, 28, 512)], dim=1))
    torch.testing.assert_close(copies, bare, atol=1e-5, rtol=1e-4)
    assert (zeros - bare).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["owlv2", "grounding_dino"])
def test_text_padding_does_not_change_scores(name, tiny, photos, monkeypatch):
    module = "owl" if name == "owlv2" else name
    config = tiny(name)
    filled = load_detector(config).detect(photos[:1], [PHRASES])[0]
    monkeypatch.setattr(f"finehard.detect.{module}.bucket", lambda count, smallest: count)
    bare = load_detector(config).detect(photos[:1], [PHRASES])[0]
    assert_same(filled, bare)


def test_grounding_dino_spans_cover_their_phrases(tiny):
    detector = load_detector(tiny("grounding_dino"))
    phrases = ["A Dog", "no. 5 bus?", "", "?.", "une théière", *("x" * n for n in range(9, 60))]
    texts = list(detector.texts(0, phrases))
    assert len(texts) > 3
    decoded = {}
    for text in texts:
        assert len(text.ids) <= detector._limit
        assert text.ids[0] == 101 and text.ids[-2:] == [1012, 102]
        for phrase, first, end in text.spans:
            assert text.ids[end] == 1012 and text.ids[first - 1] in (101, 1012)
            assert not {101, 102, 1012, 1029} & set(text.ids[first:end])
            assert phrase not in decoded
            decoded[phrase] = detector._tokenizer.decode(text.ids[first:end])
    words = {phrase: text.replace("##", "").replace(" ", "") for phrase, text in decoded.items()}
    assert words[0] == "adog"
    assert words[1] == "no5bus"
    # BERT's tokenizer strips accents; a phrase without words is skipped.
    assert words[4] == "unetheiere"
    assert words[20] == "x" * 24
    assert set(range(len(phrases))) - set(decoded) == {2, 3}
