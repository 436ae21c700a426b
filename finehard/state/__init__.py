"""What outlives a run, beside the dataset: journal, lock, settings, provenance."""
