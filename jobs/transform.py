"""Naming a function that is written by a pipeline's author, as `package.module:function`. No Spark import here."""

from __future__ import annotations

import importlib
import re
from typing import Any

__all__ = ["Transforming"]

_REFERENCE = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)")


class Transforming:
    """What a declaration with a `transform` has in common with others."""

    transform: str

    @property
    def names_a_function(self) -> bool:
        """Whether it is written as it must be."""
        return _REFERENCE.fullmatch(self.transform) is not None

    @property
    def transform_module(self) -> str:
        return self.transform.partition(":")[0]

    @property
    def transform_function(self) -> str:
        return self.transform.partition(":")[2]

    def load_transform(self) -> Any:
        """The function: it gets and gives a DataFrame. Imports its module, and so Spark."""
        return getattr(importlib.import_module(self.transform_module), self.transform_function)
