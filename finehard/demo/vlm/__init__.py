"""The demo's own vision language model: small enough to train in minutes and to ship."""
