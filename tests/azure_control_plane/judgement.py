"""Whether all that was said was right: each request and each answer, by Microsoft's validator of live requests."""

from __future__ import annotations

from typing import Any

from millrace.azure.arm import Resource
from tests.azure_control_plane.cloud import Azure
from tests.azure_control_plane.exchange import Answer, Exchange, Request
from tests.azure_control_plane.resource_manager import MANAGEMENT
from tests.infra.openapi import Judge
from tests.infra.test_openapi import NO_DEFINITION

__all__ = ["mistakes"]

# Requests whose definition the folder lacks, or that have none: a poll's answer is judged by what began the operation.
_UNDEFINED = {
    "/operationresults/": "a poll",
    "/providers/Microsoft.KeyVault/": "keyvault/ is not in the folder",
}


def mistakes(azure: Azure, judge: Judge) -> list[str]:
    """A line per request, answer and created resource that the definitions do not allow, or do not know."""
    said = [line for exchange in azure.said for line in _of_exchange(exchange, judge)]
    return said + [line for resource in azure.manager.created for line in _of_resource(resource, judge)]


def _of_exchange(exchange: Exchange, judge: Judge) -> list[str]:
    if exchange.answer.of is None:
        return _judged(exchange.request, exchange.answer, judge)
    return _judged(exchange.request, None, judge) + _judged(exchange.answer.of, exchange.answer, judge)


def _judged(request: Request, answer: Answer | None, judge: Judge) -> list[str]:
    question: dict[str, Any] = {"method": request.method, "url": request.url}
    if request.body is not None:
        question["body"] = request.body
    if answer is not None:
        headers = {name.lower(): value for name, value in answer.headers.items()}
        question["answer"] = {"statusCode": str(answer.status), "headers": headers, "body": answer.body}
    told = judge(question)
    what = f"{request.method} {request.path}"
    if told["operation"] is None:
        return [] if any(part in request.path for part in _UNDEFINED) else [f"{what}: no definition has this"]
    return [f"{what}: {error}" for error in told["errors"]]


def _of_resource(resource: Resource, judge: Judge) -> list[str]:
    url = f"https://{MANAGEMENT}{resource.id}?api-version={resource.api_version}"
    told = judge({"method": "PUT", "url": url, "body": resource.body})
    if told["operation"] is None:
        return [] if resource.type in NO_DEFINITION else [f"{resource.type}: no definition has this"]
    return [f"{resource.id}: {error}" for error in told["errors"]]
