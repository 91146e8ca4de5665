"""Asking Azure Resource Manager something: tokens, and what its refusals mean for another try."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from jobs.errors import MillraceError
from millrace.azure.failures import may_pass, shown

__all__ = ["Asking", "PassingError", "RefusedError", "code_of", "is_missing"]

_C = TypeVar("_C")
_T = TypeVar("_T")
_TRY_LATER = frozenset({408, 409, 429})
_STAYS = frozenset({"ScopeLocked", "RoleAssignmentUpdateNotPermitted"})  # 409s that no other try changes


class RefusedError(MillraceError):
    """Azure says no, and would say it again."""


class PassingError(MillraceError):
    """Azure could not, or says to try later: the SDK's own retries are used up."""


class Asking(Generic[_C]):
    """One of Azure's clients, from `connect`, used for one thing after the other.

    The SDK waits and asks again by itself (429, 5xx, Retry-After, a lost connection), and gets a new token before the
    old one ends. A token that Azure refuses although it has time left is replaced here, once per question.
    """

    def __init__(self, connect: Callable[[], _C]) -> None:
        self._connect = connect
        self._client: _C | None = None

    def ask(self, what: str, question: Callable[[_C], _T]) -> _T:
        """The answer. Raises RefusedError or PassingError, which begin with `what`."""
        from azure.core.exceptions import AzureError, HttpResponseError

        try:
            return self._with_new_token_if_refused(question)
        except HttpResponseError as error:
            kind = PassingError if _passes(error) else RefusedError
            raise kind(f"{what}: Azure answers {error.status_code}: {shown(_error(error))}") from error
        except AzureError as error:  # no answer at all, or no token
            raise PassingError(f"{what}: {error.message}") from error

    def find(self, what: str, question: Callable[[_C], _T]) -> _T | None:
        """The same; None where Azure does not know what is asked for."""
        try:
            return self.ask(what, question)
        except RefusedError as error:
            if is_missing(error):
                return None
            raise

    def _with_new_token_if_refused(self, question: Callable[[_C], _T]) -> _T:
        from azure.core.exceptions import HttpResponseError

        try:
            return question(self._current())
        except HttpResponseError as error:  # while an operation is awaited, no ClientAuthenticationError
            if error.status_code != 401 or _is_login(error):
                raise
            self._client = None
            return question(self._current())

    def _current(self) -> _C:
        if self._client is None:
            self._client = self._connect()
        return self._client


def is_missing(error: MillraceError) -> bool:
    """Whether Azure's answer was that there is no such thing."""
    return getattr(error.__cause__, "status_code", None) == 404


def code_of(error: MillraceError) -> Any:
    """Azure's code of an error raised here; None where it gave none."""
    return _error(error.__cause__).get("code")


def _passes(error: Any) -> bool:
    status, told = error.status_code or 0, _error(error)
    if told.get("code") in _STAYS:
        return False
    return status in _TRY_LATER or status >= 500 or may_pass(told)


def _is_login(error: Any) -> bool:
    """Whether the token itself was not given."""
    return error.response is None or "/oauth2/" in error.response.request.url


def _error(error: Any) -> dict[str, Any]:
    """The error in an answer, as `{"code", "message", "details"}`."""
    try:
        answer = error.response.json()
        found = answer if "code" in answer else answer["error"]  # HDInsight's own have no envelope
    except (AttributeError, KeyError, TypeError, ValueError):
        return {"code": None, "message": getattr(error, "message", str(error))}
    return found if isinstance(found, dict) else {"code": found, "message": error.message}
