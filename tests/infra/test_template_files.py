"""The files themselves: nothing unused, nothing undeclared, nothing of one place or person written into them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from millrace.azure.arm import TEMPLATES
from millrace.azure.arm.grammar import Call, Expression, Literal, Member, is_expression, parse
from tests.infra.deployments import GIVEN, composed, parameter_file

MAIN = TEMPLATES / "main.json"
MODULES = sorted((TEMPLATES / "modules").glob("*.json"))
FILES = [MAIN, *MODULES]
# Ids of roles that are the same in every tenant: https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",  # Storage Blob Data Owner
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe",  # Storage Blob Data Contributor
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",  # Key Vault Secrets Officer
}
REGION = re.compile(
    r"\b(north|south|east|west|central|southeast|canada|australia|france|germany|japan|korea|uk|uae|norway|sweden"
    r"|switzerland|brazil|india)(europe|us|asia|central|east|west|north|south|india)\d?\b"
)


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def texts(value: Any) -> Iterator[str]:
    """Every string in a document, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def calls(value: Any) -> Iterator[Call]:
    """Every function call in a document."""
    for text in texts(value):
        if is_expression(text):
            yield from _calls_in(parse(text))


def _calls_in(tree: Expression) -> Iterator[Call]:
    if isinstance(tree, Member):
        yield from _calls_in(tree.target)
        yield from _calls_in(tree.key)
    if isinstance(tree, Call):
        yield tree
        for argument in tree.arguments:
            yield from _calls_in(argument)


def named(document: Any, function: str) -> set[str]:
    """What is asked of `parameters` or `variables` in a document."""
    return {
        str(call.arguments[0].value)
        for call in calls(document)
        if call.name == function and isinstance(call.arguments[0], Literal)
    }


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def template(request: pytest.FixtureRequest) -> dict[str, Any]:
    return read(request.param)


def test_every_parameter_is_used_and_every_used_one_is_declared(template: dict[str, Any]) -> None:
    assert named(template, "parameters") == set(template["parameters"])


def test_every_variable_is_used_and_every_used_one_is_declared(template: dict[str, Any]) -> None:
    variables = template.get("variables", {})
    declared = {name for name in variables if name != "copy"} | {loop["name"] for loop in variables.get("copy", [])}
    assert named(template, "variables") == declared


def test_every_parameter_says_what_it_is(template: dict[str, Any]) -> None:
    assert [name for name, rule in template["parameters"].items() if not rule["metadata"]["description"]] == []


def test_names_and_locations_are_expressions(template: dict[str, Any]) -> None:
    for resource in template["resources"]:
        # A deployment and a diagnostic setting are named within what they belong to; DNS zones are in no region.
        if resource["type"] not in ("Microsoft.Resources/deployments", "Microsoft.Insights/diagnosticSettings"):
            assert is_expression(resource["name"]), resource["name"]
        assert is_expression(resource.get("location", "[]")) or resource["location"] == "global", resource["name"]


def test_no_region_id_or_address_of_one_place_is_written_in(template: dict[str, Any]) -> None:
    for text in texts(template):
        assert not REGION.search(text.lower()), text
        assert set(re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", text)) <= ROLES, text


def test_secrets_come_in_by_secure_parameters_and_never_go_out(template: dict[str, Any]) -> None:
    for name, rule in template["parameters"].items():
        assert ("password" in name.lower() and "expires" not in name.lower()) == (rule["type"] == "securestring"), name
        assert rule["type"] != "securestring" or rule.get("defaultValue", "") == "", name
    secure = {name for name, rule in template["parameters"].items() if rule["type"].startswith("secure")}
    assert not named(template["outputs"], "parameters") & secure
    assert not [call.name for call in calls(template["outputs"]) if call.name.startswith("list")]


def test_main_links_every_module_and_gives_each_the_parameters_that_it_declares() -> None:
    linked = set()
    for resource in read(MAIN)["resources"]:
        if resource["type"] == "Microsoft.Resources/deployments":
            link = resource["properties"]["templateLink"]["relativePath"]
            declared = read(TEMPLATES / link)["parameters"]
            given = set(resource["properties"]["parameters"])
            assert given == set(declared), resource["name"]
            linked.add(TEMPLATES / link)
    assert linked == set(MODULES)


def test_what_main_asks_of_a_module_is_an_output_of_it_and_waited_for() -> None:
    links = {one["name"]: one for one in read(MAIN)["resources"] if "templateLink" in one["properties"]}
    for resource in links.values():
        for text in texts(resource["properties"]["parameters"]):
            for name, output in re.findall(r"'([a-z-]+)'\), '[\d-]+'\)\.outputs\.(\w+)", text):
                module = read(TEMPLATES / links[name]["properties"]["templateLink"]["relativePath"])
                assert output in module["outputs"], (resource["name"], name, output)
                assert f"'{name}')" in str(resource["dependsOn"]), f"{resource['name']} does not wait for {name}"


def test_both_sizes_set_the_same_parameters_or_leave_the_default() -> None:
    declared = read(MAIN)["parameters"]
    for size in ("dev", "prod"):
        values = parameter_file(size)
        missing = {name for name, rule in declared.items() if "defaultValue" not in rule} - set(values) - set(GIVEN)
        assert missing == {"layout"}
        assert set(values) <= set(declared)
        assert values["environment"] == size


def test_templates_keep_azures_limits(template: dict[str, Any]) -> None:
    # https://learn.microsoft.com/azure/azure-resource-manager/templates/best-practices#template-limits
    counts = {part: len(template.get(part, {})) for part in ("parameters", "variables", "outputs")}
    assert counts["parameters"] <= 256
    assert counts["variables"] <= 256
    assert counts["outputs"] <= 64
    assert len(json.dumps(composed())) < 4_000_000
