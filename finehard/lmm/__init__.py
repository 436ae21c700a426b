"""Models over HTTP (OpenAI chat protocol): questions, replies checked, a fleet of endpoints."""
