"""The demo's open-vocabulary detector: model, training data, training."""
