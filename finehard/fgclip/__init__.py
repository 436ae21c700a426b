"""FG-CLIP: the published model and losses, and a trainer that reads the shards of this project.

In the order of the flow: order and data (which samples, read and tokenised), packing (texts without
padding), model, losses, objective (the recipes), train, evaluate. This package needs the `train`
extra; nothing else of finehard imports it.
"""
