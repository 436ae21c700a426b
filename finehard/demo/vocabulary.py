"""The demo VLM's tokenizer: a hand-made vocabulary in which fixed text is one token.

A generated token costs a model this small the same whether it is a letter or a sentence. So the
prompts' fixed parts, JSON's boilerplate and the captions' connecting phrases are pieces of their
own, while words that carry an attribute stay single, so that the model must choose each.
"""

from __future__ import annotations

import string
from typing import Any

from finehard.demo.texts import COUNT_WORDS, PLACE, SIZE_TAIL
from finehard.demo.world import COLORS, KINDS, PATTERNS, SURFACES, WALLS
from finehard.stages.prompts import load_prompt

SPECIAL_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
CHAT_TEMPLATE = (
    "{%- for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{%- if message['content'] is string %}{{ message['content'] }}"
    "{%- else %}{%- for part in message['content'] %}"
    "{%- if part['type'] in ('image', 'image_url') %}"
    "{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{%- elif part['type'] == 'text' %}{{ part['text'] }}{%- endif %}"
    "{%- endfor %}{%- endif %}{{ '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{%- endif %}"
)
PROMPTS = {
    "caption.v1": ("long_words", "alt_text"),
    "regions.v1": ("count", "phrases"),
    "negatives.v1": ("count", "texts"),
    "verify.v2": ("statements", "count"),
}
"""The prompts that the model knows, and their fields."""


def _prompt_pieces() -> list[str]:
    literals = []
    for name, fields in PROMPTS.items():
        text = load_prompt(name, name.split(".")[0], fields).text
        literals += [literal for literal, *_ in string.Formatter().parse(text) if literal]
    return literals


def all_pieces() -> list[str]:
    """Returns the pieces of the vocabulary, each once; without single characters and bytes."""
    pieces = _prompt_pieces()
    pieces += ["user\n", "assistant\n", "60"]
    for words in (COLORS, PATTERNS[1:], KINDS, SURFACES, WALLS, ("left", "right")):
        pieces += [part for word in words for part in (word, " " + word, word.capitalize())]
    pieces += [" a", " an", "a", "an", "A", "An"]
    pieces += [f"{n}. " for n in range(1, 9)] + [f"\n{n}. " for n in range(2, 61)]
    pieces += [f"Image {n}:" for n in range(1, 9)]
    pieces += ['{"short_caption": "', '", "long_caption": "', '."}', '"}']
    pieces += [" stands alone on a", " table.", " table"]
    pieces += [f"{count} objects on a" for count in COUNT_WORDS]
    pieces += [f"{count} objects stand on a" for count in COUNT_WORDS]
    pieces += ["One object stands on a", " table, among them", " and"]
    pieces += [" table in front of a", " wall:", *PLACE.values()]
    pieces += [tail for tail in SIZE_TAIL.values() if tail] + [";", "."]
    for light, other in (("left", "right"), ("right", "left")):
        pieces.append(
            f" The light comes from the {light}, and soft shadows fall to the {other} "
            "across the table."
        )
    pieces += [" on a", '{"1": "', "yes", "no", '"}']
    pieces += [f'", "{n}": "' for n in range(2, 61)]
    pieces += ['{"1": [', "]}", *(f'], "{n}": [' for n in range(2, 9))]
    for attribute, words in (("color", COLORS), ("pattern", PATTERNS[1:])):
        for word in words:
            swap = f'{{"attribute": "{attribute}", "original": "{word}", "replacement": "'
            pieces += [swap, f", {swap}", f'{word}"}}']
    return list(dict.fromkeys(pieces))


def build_tokenizer() -> Any:
    """Returns a fast tokenizer: the pieces, single characters, and bytes for all else.

    It segments into the fewest pieces, since all have about the same score in its unigram model.
    """
    from tokenizers import Tokenizer, decoders
    from tokenizers.models import Unigram
    from transformers import PreTrainedTokenizerFast

    characters = [chr(code) for code in range(32, 127)] + ["\n"]
    entries = [(token, 0.0) for token in SPECIAL_TOKENS]
    entries += [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]
    known = dict.fromkeys(all_pieces())
    entries += [(c, -12.0) for c in characters if c not in known]
    entries += [(piece, -10.0 + 0.001 * min(len(piece), 500)) for piece in known]
    core = Tokenizer(Unigram(entries, unk_id=0, byte_fallback=True))
    core.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=None,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL_TOKENS),
        model_max_length=8192,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
