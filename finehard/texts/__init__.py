"""Texts as models write them: cut clean of their dressing, and judged whether they are usable."""
