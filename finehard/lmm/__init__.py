"""Models over HTTP (OpenAI chat protocol): questions, replies checked, a fleet of endpoints."""

from finehard.lmm.client import Client, ModelConfig
from finehard.lmm.question import Answer, Question, RequestFailed

__all__ = ["Answer", "Client", "ModelConfig", "Question", "RequestFailed"]
