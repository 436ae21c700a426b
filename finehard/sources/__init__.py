"""Where images come from: img2dataset tars, Parquet, folders, and rejects fed back.

`discover` finds the files of an input; `units` cuts a file into stretches of some hundred samples,
the pieces of work that are handed to workers; `read` gives a unit's samples. Cuts lie where a hash
of the key says so: a sample added or removed changes only the unit it is in, and what the journal
knows of the others stays found.
"""

from finehard.sources.discover import discover
from finehard.sources.source import Loaded, SourceConfig, SourceFile, Unit, count, read, units

__all__ = ["Loaded", "SourceConfig", "SourceFile", "Unit", "count", "discover", "read", "units"]
