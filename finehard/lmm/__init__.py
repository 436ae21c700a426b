"""Models over HTTP (OpenAI chat protocol): questions, validated answers, a fleet of endpoints."""
