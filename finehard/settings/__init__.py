"""Config files read strictly, and the ranges their values may have."""
