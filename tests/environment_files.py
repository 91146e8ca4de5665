"""Parts of environments' files that tests write."""

from __future__ import annotations

__all__ = ["HDINSIGHT"]

HDINSIGHT = """
platform = "hdinsight"
[lake]
account = "millracelake"
container = "lake"
path = "millrace"
"""
"""Of an environment on HDInsight, all but `[kafka]` and `[hdinsight]`."""
