"""The tests' Azure is judged by Microsoft's validator: that it can fail is shown here."""

from __future__ import annotations

from pathlib import Path

from tests.azure_control_plane.cloud import azure_cloud
from tests.azure_control_plane.exchange import Answer, Exchange, Request
from tests.azure_control_plane.judgement import mistakes
from tests.azure_control_plane.resource_manager import MANAGEMENT
from tests.infra.openapi import Judge

GROUPS = "/subscriptions/11111111-2222-3333-4444-555555555555/resourcegroups"
GROUP = {
    "id": f"{GROUPS}/mr",
    "name": "mr",
    "type": "Microsoft.Resources/resourceGroups",
    "location": "northeurope",
}


def judged(judge: Judge, folder: Path, request: Request, answer: Answer) -> str:
    with azure_cloud(folder) as azure:
        azure.said.append(Exchange(request, answer))
        return " ".join(mistakes(azure, judge))


def asking(method: str, path: str, version: str = "2024-03-01", body: object = None) -> Request:
    return Request(method, MANAGEMENT, path, {"api-version": version}, {}, body)


def test_answers_of_the_wrong_form_are_found(azure_judge: Judge, tmp_path: Path) -> None:
    right = Answer(200, {"value": [{**GROUP, "tags": {"a": "b"}}]})
    assert judged(azure_judge, tmp_path, asking("GET", GROUPS), right) == ""
    no_place = Answer(200, {"value": [{"id": GROUP["id"], "name": "mr", "type": GROUP["type"]}]})
    assert "location" in judged(azure_judge, tmp_path, asking("GET", GROUPS), no_place)
    number = Answer(200, {"value": [{**GROUP, "tags": {"a": 1}}]})
    assert "INVALID_TYPE" in judged(azure_judge, tmp_path, asking("GET", GROUPS), number)
    deployment = asking("GET", f"{GROUPS}/mr/providers/Microsoft.Resources/deployments/x")
    state = Answer(200, {"id": deployment.path, "properties": {"mode": "Everything"}})
    assert "ENUM_MISMATCH" in judged(azure_judge, tmp_path, deployment, state)


def test_requests_of_the_wrong_form_are_found(azure_judge: Judge, tmp_path: Path) -> None:
    path = "/subscriptions/11111111-2222-3333-4444-555555555555/providers/Microsoft.Resources/deployments/x"
    body = {"location": "northeurope", "properties": {"mode": "Everything"}}
    told = judged(azure_judge, tmp_path, asking("PUT", path, body=body), Answer(200, {"id": path}))
    assert "ENUM_MISMATCH No enum match for: Everything" in told


def test_what_no_definition_has_is_told(azure_judge: Judge, tmp_path: Path) -> None:
    assert "no definition has this" in judged(azure_judge, tmp_path, asking("GET", GROUPS, "1999-01-01"), Answer(200))
