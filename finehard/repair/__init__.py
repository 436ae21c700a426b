"""A finished or imported dataset read back, so that only what it lacks is made anew."""
