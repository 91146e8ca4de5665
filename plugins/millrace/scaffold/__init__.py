"""New pipelines: a declaration, a transformation, a test and a DAG that run as they are."""

from __future__ import annotations

from millrace.scaffold.files import scaffold

__all__ = ["scaffold"]
