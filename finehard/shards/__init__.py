"""The dataset on disk: shards, index, rejects, manifest, card."""
