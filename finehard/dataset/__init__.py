"""A dataset on disk: written, described, read, validated."""
