"""Beam pipelines, one file each."""
