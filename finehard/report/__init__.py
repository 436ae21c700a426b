"""What people look at: a dataset's report, its statistics, and single samples.

`report(dataset)` writes `report.html`, `numbers.numbers(dataset)` returns the statistics and
`show.show(dataset, key)` prints one sample. All read finished datasets through
`finehard.dataset.reader`, and know stages from the manifest only.
"""

from __future__ import annotations

from finehard.report.write import report

__all__ = ["report"]
