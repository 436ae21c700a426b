"""Where images come from: img2dataset tars, Parquet, lists, folders, a user's format, and
rejects.

`survey` lists the files of an input, counts their samples, and says what is not read. `units`
splits a file into units of work of some hundred samples, which are distributed to workers; `read`
reads a unit's samples. A hash of the key decides where a unit begins, so that a sample that is
added or removed changes one unit only and the journal's rows for all others stay valid.
"""

from finehard.sources.discover import Survey, discover, survey
from finehard.sources.format import Format, read, units
from finehard.sources.source import (
    NOWHERE,
    Loaded,
    SourceConfig,
    SourceFile,
    Unit,
    clean_text,
    safe_key,
    unit_id,
)

__all__ = [
    "NOWHERE",
    "Format",
    "Loaded",
    "SourceConfig",
    "SourceFile",
    "Survey",
    "Unit",
    "clean_text",
    "discover",
    "read",
    "safe_key",
    "survey",
    "unit_id",
    "units",
]
