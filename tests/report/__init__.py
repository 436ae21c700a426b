"""Tests of what people look at: report, show, stats."""
