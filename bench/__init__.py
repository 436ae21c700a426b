"""Programs that measure: each prints a table, and last `NAME: FIGURE (goal GOAL)`."""
