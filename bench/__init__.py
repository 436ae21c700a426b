"""Benchmarks: each prints a table, and last `NAME: FIGURE (goal GOAL)`; exits 1 if it is missed."""
