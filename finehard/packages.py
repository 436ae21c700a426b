"""Which packages are installed, without importing them."""

from __future__ import annotations

from importlib.util import find_spec


def installed(module: str) -> bool:
    """Returns whether `module` (of a package too: "google.cloud.storage") can be imported. The
    packages that it is in are imported."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it is in
        return False
