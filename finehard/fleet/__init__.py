"""Servers over HTTP: which there are, and which of them gets the next request."""
