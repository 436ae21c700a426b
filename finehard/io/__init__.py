"""Files, local or in an object store: listed, read in ranges, written whole. Knows no Beam."""
