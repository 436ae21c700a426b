"""vLLM with a tokenizer of 131,072 tokens: no request waits for the grammar of its reply."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from bench.grammar import schemas
from finehard.serve import ServeConfig, ensure_server
from finehard.serve.engines import find_vllm_python
from tests.serve.processes import chat

MODEL = """
import os, shutil, sys
import mistral_common
from transformers import MistralConfig, MistralForCausalLM
MistralForCausalLM(MistralConfig(
    vocab_size=131072, hidden_size=64, intermediate_size=64, num_hidden_layers=1,
    num_attention_heads=2, num_key_value_heads=2, head_dim=32, max_position_embeddings=8192,
)).save_pretrained(sys.argv[1])
data = os.path.join(os.path.dirname(mistral_common.__file__), "data", "tekken_240911.json")
shutil.copy(data, os.path.join(sys.argv[1], "tekken.json"))
"""

TOKENS = 64

pytestmark = [pytest.mark.slow, pytest.mark.full, pytest.mark.timeout(900)]


def _took(url: str, model: str, schema: dict[str, Any] | None) -> float:
    """Seconds of a request whose reply has `TOKENS` tokens."""
    form = {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}}
    began = time.monotonic()
    chat(
        url, model, "Describe.", max_tokens=TOKENS, **({"response_format": form} if schema else {})
    )
    return time.monotonic() - began


def test_a_reply_by_grammar_takes_hardly_longer(tmp_path: Path) -> None:
    installed = find_vllm_python()
    if installed is None:
        pytest.skip("vLLM is not installed (make setup-vllm)")
    folder = tmp_path / "tekken-tiny"
    made = [installed[0], "-c", MODEL, str(folder)]
    subprocess.run(made, check=True, capture_output=True, timeout=300)
    args = ("--tokenizer-mode", "mistral", "--enforce-eager", "--max-model-len", "8192")
    chosen = ServeConfig(engine="vllm", model=str(folder), replicas=1, args=args)
    with ensure_server(chosen) as server:
        url = server.base_url
        _took(url, server.model, {"type": "object"})  # loads the compiler
        free = min(_took(url, server.model, None) for _ in range(3))
        took = {name: _took(url, server.model, s.value) for name, s in schemas().items()}
        full = _took(url, server.model, schemas()["caption"].full)
    told = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in took.items())
    print(f"\n{TOKENS} tokens: free {free:.2f} s, {told}; caption in full {full:.2f} s")
    assert max(took.values()) < free + 1.5, "the first request of a schema compiles it"
