"""FG-CLIP: the published model and losses, and a trainer that reads this project's shards.

In the order of the flow: sampler, reader, targets, transform, tokenizer and data make batches;
packing, model, losses and objective make the loss; train, evaluators and evaluate use them. Needs
the `train` extra; nothing else in finehard imports this package.
"""
