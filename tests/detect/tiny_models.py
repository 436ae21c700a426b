"""Tiny detectors with random weights, saved like trained ones and loaded by the same code."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    MMGroundingDinoConfig,
    MMGroundingDinoForObjectDetection,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessor,
    OwlViTConfig,
    OwlViTForObjectDetection,
    OwlViTImageProcessor,
    PreTrainedTokenizerFast,
    SwinConfig,
)

START, END = "<|startoftext|>", "<|endoftext|>"


def clip_tokenizer(length: int) -> PreTrainedTokenizerFast:
    """Byte-level; padding is id 0 and the end-of-text token has the highest id, as in CLIP."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(["!pad", *alphabet, START, END])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=END))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}",
        special_tokens=[(START, vocabulary[START]), (END, vocabulary[END])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=START,
        eos_token=END,
        unk_token=END,
        pad_token="!pad",
        model_max_length=length,
    )


def bert_tokenizer() -> PreTrainedTokenizerFast:
    """Character-level, with BERT's special ids, which GroundingDINO's code hard-codes."""
    fixed = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
    fixed |= {1012: ".", 1029: "?"}
    letters = [chr(code) for code in range(33, 127) if chr(code) not in ".?"]
    tokens = iter(letters + [f"##{letter}" for letter in letters])
    vocabulary = {fixed.get(i) or next(tokens, f"[unused{i}]"): i for i in range(1040)}
    tokenizer = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 101), ("[SEP]", 102)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
        pad_token="[PAD]",
        mask_token="[MASK]",
    )


def _spread(model: torch.nn.Module, names: tuple[str, ...], std: float) -> torch.nn.Module:
    """Draws larger random weights for the parts named; returns the model.

    With default initialisation the output is nearly the same for every image and phrase.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(part in name for part in names) and parameter.dim() > 1:
                parameter.normal_(0.0, std)
    return model


def write_owl(folder: Path, version: int = 2, image_size: int = 64) -> Path:
    """Writes a tiny OWLv2 (version 2) or OWL-ViT (version 1)."""
    torch.manual_seed(0)
    length = 16
    tokenizer = clip_tokenizer(length)
    common = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    text = {
        **common,
        "vocab_size": len(tokenizer),
        "num_attention_heads": 2,
        "max_position_embeddings": length,
        "pad_token_id": 0,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    vision = {**common, "num_attention_heads": 2, "image_size": image_size, "patch_size": 8}
    config_class, model_class, processor_class = {
        1: (OwlViTConfig, OwlViTForObjectDetection, OwlViTImageProcessor),
        2: (Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor),
    }[version]
    config = config_class(text_config=text, vision_config=vision, projection_dim=32)
    heads = ("class_head", "box_head", "embedding", "_proj", "text_projection")
    _spread(model_class(config), heads, 0.3).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor_class(size={"height": image_size, "width": image_size}).save_pretrained(folder)
    return folder


def write_grounding_dino(folder: Path, mm: bool = False, max_text_len: int = 96) -> Path:
    """Writes a tiny GroundingDINO, or MM-GroundingDINO."""
    torch.manual_seed(0)
    tokenizer = bert_tokenizer()
    config_class = MMGroundingDinoConfig if mm else GroundingDinoConfig
    config = config_class(
        backbone_config=SwinConfig(
            image_size=64,
            embed_dim=16,
            depths=[1, 1, 1, 1],
            num_heads=[1, 2, 2, 2],
            window_size=4,
            out_features=["stage2", "stage3", "stage4"],
        ),
        text_config=BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=128,
        ),
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_queries=20,
        max_text_len=max_text_len,
    )
    model_class = MMGroundingDinoForObjectDetection if mm else GroundingDinoForObjectDetection
    heads = ("bbox_embed", "text_projection", "text_backbone")
    _spread(model_class(config), heads, 0.2).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    GroundingDinoImageProcessor().save_pretrained(folder)
    return folder


def write_clip_text(folder: Path) -> Path:
    """Writes a tiny CLIP text model with 512-dimensional output, as YOLO-World expects."""
    torch.manual_seed(0)
    length = 40
    tokenizer = clip_tokenizer(length)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=length,
        projection_dim=512,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=0,
    )
    _spread(CLIPTextModelWithProjection(config), ("text",), 0.3).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _smooth_noise() -> torch.Tensor:
    """Returns images (8, 3, 160, 160) with statistics closer to photographs than white noise."""
    coarse = torch.rand(8, 3, 10, 10)
    return torch.nn.functional.interpolate(coarse, size=(160, 160), mode="bicubic").clamp(0, 1)


def write_yolo_world(path: Path) -> Path:
    """Writes YOLO-World n with random weights to `path` (.pt), in ultralytics' format."""
    from finehard.detect.yolo_world import quiet_ultralytics

    quiet_ultralytics()
    from ultralytics.nn.tasks import WorldModel

    torch.manual_seed(0)
    model = WorldModel("yolov8n-worldv2.yaml", verbose=False)
    head = model.model[-1]
    norms = [part for part in model.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        # With default initialisation every score is 5e-5.
        for contrast, boxes, classes in zip(head.cv4, head.cv2, head.cv3, strict=True):
            contrast.bias.fill_(-2.0)
            contrast.logit_scale.fill_(-3.0)
            boxes[-1].weight.normal_(0.0, 0.5)
            classes[-1].weight.normal_(0.0, 0.2)
        # Calibrate batch norm, or the signal vanishes through the untrained layers.
        for norm in norms:
            norm.momentum = None
        model.train()
        model.predict(_smooth_noise())
        model.eval()
    torch.save({"model": model, "ema": None, "train_args": {}}, path)
    return path
