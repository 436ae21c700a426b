"""What the care of the data is worth: the published recipe, ours, and the truth compared."""
