"""What people look at: the report of a dataset, its numbers, and single samples.

`report(dataset)` writes `report.html`; `statistics.gather(dataset)` gives the numbers;
`show.show(dataset, key)` prints one sample. All read a finished dataset, and change nothing else.
"""

from __future__ import annotations

from finehard.report.write import report

__all__ = ["report"]
