"""finehard makes training data for fine-grained CLIP models, and trains them.

The modules stand in the order in which the data flows: sources, caption, phrases, detect, regions,
negatives, verify, shards; then fgclip, which trains on the result. Importing `finehard` loads none
of torch, ultralytics or vllm.
"""

__version__ = "0.1.0"
