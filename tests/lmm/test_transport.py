"""What a server's error says, by its status and its words."""

from __future__ import annotations

import pytest

from finehard.lmm.config import ModelConfig
from finehard.lmm.transport import Refused, Transport

FILTERED = (
    "The prompt triggered Azure OpenAI's content management policy",
    "Input data may contain inappropriate content.",
    '{"error": {"code": "data_inspection_failed", "message": "<400> DataInspectionFailed"}}',
    "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO",
    "Your request was rejected as a result of our safety system.",
    "InputImageSensitiveContentDetected",
    '{"error": "Violated guardrail policy"}',
    '{"code": "content_policy_violation"}',
)
OTHERS = (
    "Unsupported content type: image/webp",
    "messages.0.content: Input should be a valid string",
    "The provided guardrail identifier is invalid",
    "This key was disabled for a violation of the usage policies",
    "This request violates the network's security policy",
    "Failed to inspect the image data",
    "unsafe image URL",
)


@pytest.mark.parametrize("words", FILTERED + OTHERS)
@pytest.mark.parametrize("status", [400, 403])
def test_only_the_words_of_a_filter_are_a_refusal(words: str, status: int) -> None:
    transport = Transport(ModelConfig(model="m", endpoints=("http://h/v1",)))
    error = transport._status_error("http://h/v1", status, None, words.encode())
    assert isinstance(error, Refused)
    assert (error.reason == "refused_by_model") is (words in FILTERED)
