"""Expressions one by one. Expected values are those of Microsoft's reference of template functions."""

from __future__ import annotations

from typing import Any

import pytest

from millrace.azure.arm import Scope, TemplateError, evaluate

SCOPE = Scope("sub-1", "tenant-1", "deploy", "northeurope", resource_group="rg")


def value(expression: Any, scope: Scope = SCOPE, **parameters: Any) -> Any:
    """What an output with this expression says."""
    kinds = {bool: "bool", int: "int", str: "string", list: "array", dict: "object"}
    template = {
        "parameters": {name: {"type": kinds[type(given)]} for name, given in parameters.items()},
        "resources": [],
        "outputs": {"it": {"type": "object", "value": expression}},
    }
    return evaluate(template, parameters, scope).outputs["it"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("[concat('a', 1, true())]", "a1True"),
        ("[concat(createArray(1), createArray(2, 3))]", [1, 2, 3]),
        ("[format('{0}-{1:D3}', 'x', 7)]", "x-007"),
        ("[if(equals(1, 1), 'yes', parameters('not-there'))]", "yes"),
        ("[and(false(), parameters('not-there'))]", False),
        ("[or(equals('a', 'A'), not(false()))]", True),
        ("[coalesce(null(), 'x')]", "x"),
        ("[take('abcdef', 2)]", "ab"),
        ("[skip(createArray(1, 2, 3), 2)]", [3]),
        ("[split('a,b;c', createArray(',', ';'))]", ["a", "b", "c"]),
        (
            "[union(createObject('a', createObject('b', 1)), createObject('a', createObject('c', 2)))]",
            {"a": {"b": 1, "c": 2}},
        ),
        ("[intersection(createArray(1, 2, 3), createArray(2, 3, 4))]", [2, 3]),
        ("[div(-7, 2)]", -3),
        ("[mod(-7, 2)]", -1),
        ("[range(5, 3)]", [5, 6, 7]),
        ("[contains(createObject('Key', 1), 'key')]", True),
        ("[empty('')]", True),
        ("[last(split('a/b/c', '/'))]", "c"),
        ("[padLeft('7', 3, '0')]", "007"),
        ("[string(createObject('a', 1))]", '{"a":1}'),
        ("[cidrSubnet('10.144.0.0/20', 24, 3)]", "10.144.3.0/24"),
        ("[parseCidr('10.144.0.0/20').broadcast]", "10.144.15.255"),
        ("[createObject('A', createArray(1, createObject('b', 'it''s'))).a[1].B]", "it's"),
        ("[[not an expression]", "[not an expression]"),
        ("[1] is none either", "[1] is none either"),
        ("[resourceGroup().location]", "northeurope"),
        ("[subscription().subscriptionId]", "sub-1"),
        ("[environment().suffixes.storage]", "core.windows.net"),
    ],
)
def test_an_expression_is_what_azure_makes_of_it(expression: str, expected: object) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("[resourceId('A.B/cs', 'x')]", "/subscriptions/sub-1/resourceGroups/rg/providers/A.B/cs/x"),
        (
            "[resourceId('other', 'A.B/cs/ds', 'x', 'y')]",
            "/subscriptions/sub-1/resourceGroups/other/providers/A.B/cs/x/ds/y",
        ),
        ("[resourceId('sub-2', 'g', 'A.B/cs', 'x')]", "/subscriptions/sub-2/resourceGroups/g/providers/A.B/cs/x"),
        ("[subscriptionResourceId('A.B/cs', 'x')]", "/subscriptions/sub-1/providers/A.B/cs/x"),
        (
            "[subscriptionResourceId('Microsoft.Resources/resourceGroups', 'g')]",
            "/subscriptions/sub-1/resourceGroups/g",
        ),
        ("[extensionResourceId('/subscriptions/s', 'A.B/cs', 'x')]", "/subscriptions/s/providers/A.B/cs/x"),
    ],
)
def test_resource_ids(expression: str, expected: str) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("[concat('a']", "expected"),
        ("[concat('a') 'b']", "after the end"),
        ("[nosuch()]", r"unknown function nosuch\(\)"),
        ("[parameters('x')]", "parameter 'x' is not declared"),
        ("[createObject('a', 1).b]", "no property 'b'; there are: a"),
        ("[resourceId('A.B/cs', 'x', 'y')]", "one name per segment"),
        ("[substring('abc', 2, 5)]", "beyond the 3 characters"),
        ("[copyIndex()]", "no such loop"),
        ("[reference('nobody')]", "no resource of that name"),
        ("[add('a', 1)]", "add\\('a', 1\\)"),
    ],
)
def test_a_mistake_is_named_with_its_place(expression: str, complaint: str) -> None:
    with pytest.raises(TemplateError, match=complaint) as raised:
        value(expression)
    assert str(raised.value).startswith("output 'it'")


def test_a_deployment_to_a_subscription_has_no_group() -> None:
    with pytest.raises(TemplateError, match="there is no group"):
        value("[resourceGroup().name]", Scope("sub-1", "tenant-1", "deploy", "northeurope"))
