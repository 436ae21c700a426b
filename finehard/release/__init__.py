"""The published FineHARD, its annotations joined with a user's images, as a dataset of finehard's.

The release is JSON without images: items name them by path, and a table maps URLs to the keys in
those paths. `importing.py` is the whole way: URL -> key -> item -> sample -> shards.
"""
