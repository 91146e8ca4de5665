"""The task that proves an interval's archive complete before the interval is reprocessed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from jobs.errors import MillraceError
from millrace.tasks.partial_label import label_partial
from millrace.triggers.certify import CertifyTrigger, claim_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from millrace.lake.certificate import Certificate, Claim, Look

__all__ = ["CertifyOperator"]


class CertifyOperator(BaseOperator):
    """Returns the certificate of `interval` (its id) of `pipeline` (its name), as JSON: of the topic and the event
    times that `version` declared, by default the served one.

    Where the archive is not proven complete it waits, without a worker slot, for as long as `within`; its log says
    what for. Then it fails for good, until somebody clears it. Where the run has the param `allow_partial`, it waits
    for nothing: the certificate's `partial` says what is missing.
    """

    template_fields: Sequence[str] = ("pipeline", "interval", "version")
    ui_color = "#f4ead2"

    def __init__(
        self,
        *,
        pipeline: str,
        interval: Any,
        version: str | None = None,
        within: timedelta = timedelta(hours=2),
        environment: str | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retries", 5)  # a lost worker or deferral; a claim that is not proven is not tried again
        kwargs.setdefault("retry_delay", timedelta(seconds=20))
        super().__init__(**kwargs)
        self.pipeline = pipeline
        self.interval = interval
        self.version = version
        self.within = within
        self.environment = environment

    def claim(self) -> Claim:
        """What is to be proven. Raises MillraceError where the interval is none."""
        return claim_of(self.pipeline, self.interval, self.environment, self.version)

    def trigger(self, deadline: datetime, look: Look) -> CertifyTrigger:
        """The trigger that goes on where this look ended."""
        needed = look.needed.to_json() if look.needed else None
        return CertifyTrigger(
            self.pipeline, self.interval, deadline.isoformat(), self.environment, needed, version=self.version
        )

    def execute(self, context: Context) -> dict[str, Any]:
        """One look; deferred where it proves nothing."""
        try:
            claim = self.claim()
            if _allows_partial(context):
                return self._certified(context, claim.partial())
            look = claim.try_look()
        except MillraceError as error:  # a rule is broken: trying again would not help
            raise AirflowFailException(f"pipeline {self.pipeline!r}: {error}") from error
        if (certificate := look.proof()) is None:
            self._wait(claim, look)
        return self._certified(context, certificate)

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """The claim is proven, or the deadline has passed. Raises AirflowFailException in that case."""
        from millrace.lake.certificate import Certificate, Look

        if "certificate" in event:
            return self._certified(context, Certificate.from_json(event["certificate"]))
        again = "clear this task, or trigger the interval with allow_partial to publish what is there as partial"
        refusal = self.claim().refusal(Look(tuple(event["missing"])), self.within, again)
        raise AirflowFailException(f"pipeline {self.pipeline!r}: {refusal}")

    def _wait(self, claim: Claim, look: Look) -> NoReturn:
        deadline = datetime.now(UTC) + self.within
        for reason in look.missing:
            self.log.info("waiting, until %s UTC at most: %s", f"{deadline:%Y-%m-%d %H:%M:%S}", reason)
        if claim.due >= deadline:
            self.log.warning("that is too early: this task will fail; clear it after %s UTC", f"{claim.due:%F %T}")
        self.defer(trigger=self.trigger(deadline, look), method_name="resume")

    def _certified(self, context: Context, certificate: Certificate) -> dict[str, Any]:
        label_partial(context, certificate.partial)
        for reason in certificate.partial:
            self.log.warning("partial: %s", reason)
        self.log.info("certificate: %s", certificate.to_json())
        return certificate.to_json()


def _allows_partial(context: Context) -> bool:
    return bool((context.get("params") or {}).get("allow_partial"))
