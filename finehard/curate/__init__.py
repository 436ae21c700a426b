"""Which images to leave out, and why: copies, images of evaluation sets, poor ones, those without
consent. Measures -> decisions, as functions of a record and its decoded picture."""
