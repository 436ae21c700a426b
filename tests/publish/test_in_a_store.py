"""A dataset in an object store: samples removed, published from there, compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from finehard.dataset.validate import validate
from finehard.io import storage
from finehard.publish.about import About
from finehard.publish.publish import publish
from finehard.publish.remove import remove
from finehard.report.compare import compare
from tests.dataset.finished import dataset
from tests.io import emulators


@pytest.mark.slow
def test_a_dataset_in_a_store_is_cared_for_there(tmp_path: Path) -> None:
    made = dataset(tmp_path)
    names = tmp_path / "list.txt"
    names.write_text("k02\nhttps://example.org/7.jpg\n")
    with emulators.start("s3") as store:
        storage.configure(store.options)
        there = f"{store.root}/dataset"
        for path in made.rglob("*"):
            if path.is_file():
                storage.write(f"{there}/{path.relative_to(made)}", path.read_bytes())
        remove(there, str(names))
        remove(str(made), str(names))
        assert validate(there) == []
        same = ("manifest.json", "index.parquet", "_journal/removed.csv")
        assert all(storage.read_all(f"{there}/{n}") == (made / n).read_bytes() for n in same)
        copy = f"{store.root}/copy"
        publish(there, copy, About("Still lifes", "mit"), workers=1)
        assert validate(copy) == []
        keys = compare(copy, str(made))["keys"]
        assert (keys["both"], keys["first_only"], keys["other_texts"]) == (14, 0, 0)
