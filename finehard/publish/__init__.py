"""A finished dataset made fit for others: samples removed, local paths taken out, uploaded."""
