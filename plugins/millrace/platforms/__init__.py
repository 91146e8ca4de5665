"""Platforms: where Spark runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.errors import MillraceError
from millrace.platforms.protocol import JobCode, JobState, JobStatus, RunningJob, SparkJob, SparkPlatform

if TYPE_CHECKING:
    from millrace.environment import Environment

__all__ = ["JobCode", "JobState", "JobStatus", "RunningJob", "SparkJob", "SparkPlatform", "platform_for"]


def platform_for(environment: Environment) -> SparkPlatform:
    """The platform that the environment names; raises MillraceError for one that has no implementation."""
    if environment.platform == "local":
        from millrace.platforms.local import local_platform

        return local_platform(environment)
    if environment.platform == "hdinsight":
        from millrace.platforms.hdinsight import hdinsight_platform

        return hdinsight_platform(environment)
    if environment.platform == "databricks":
        from millrace.platforms.databricks import databricks_platform

        return databricks_platform(environment)
    raise MillraceError(
        f"environment {environment.name!r}: platform {environment.platform!r} is unknown; use 'local', 'hdinsight' or"
        " 'databricks'"
    )
