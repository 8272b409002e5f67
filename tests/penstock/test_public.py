"""The public face: a handful of names, and no module that shadows one."""

from __future__ import annotations

import pkgutil

import penstock


def test_no_module_takes_a_public_name() -> None:
    """A module of the same name would replace the function once it is imported."""
    modules = {module.name for module in pkgutil.iter_modules(penstock.__path__)}
    assert not modules & set(penstock.__all__)
