"""Templates as wholes: parameters, loops, conditions, order, nested deployments, what is known only later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from millrace.azure.arm import Scope, TemplateError, compose, evaluate, read_parameters

SCOPE = Scope("sub-1", "tenant-1", "deploy", "northeurope", resource_group="rg")
ID = "/subscriptions/sub-1/resourceGroups/rg/providers/A.B/cs"


def resource(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "A.B/cs", "apiVersion": "2026-01-01", "name": name, **more}


def run(
    resources: list[dict[str, Any]], parameters: Any = None, outputs: Any = None, given: Any = None, **more: Any
) -> Any:
    template = {"parameters": parameters or {}, "resources": resources, "outputs": outputs or {}, **more}
    return evaluate(template, given or {}, SCOPE)


def refused(complaint: str, *arguments: Any, **more: Any) -> None:
    with pytest.raises(TemplateError, match=complaint):
        run(*arguments, **more)


def nested(name: str, template: dict[str, Any], parameters: Any = None, **more: Any) -> dict[str, Any]:
    properties = {
        "mode": "Incremental",
        "expressionEvaluationOptions": {"scope": "Inner"},
        "template": {"resources": [], **template},
        "parameters": parameters or {},
    }
    return {
        "type": "Microsoft.Resources/deployments",
        "apiVersion": "1",
        "name": name,
        "properties": properties,
        **more,
    }


def test_a_loop_makes_a_resource_per_turn_and_can_be_depended_on_by_its_name() -> None:
    loop = resource(
        "[format('c{0}', copyIndex(1))]", copy={"name": "many", "count": 2}, properties={"at": "[copyIndex()]"}
    )
    found = run([resource("after", dependsOn=["many"]), loop]).resources
    assert [(one.name, one.body.get("properties")) for one in found] == [
        ("c1", {"at": 0}),
        ("c2", {"at": 1}),
        ("after", None),
    ]
    assert found[-1].depends_on == (f"{ID}/c1", f"{ID}/c2")


def test_loops_of_properties_and_variables_nest_by_name() -> None:
    inner = {"name": "inner", "count": 2, "input": "[add(mul(copyIndex('outer'), 10), copyIndex('inner'))]"}
    outer = {"name": "outer", "count": 2, "input": {"copy": [inner]}}
    variables = {
        "copy": [{"name": "squares", "count": 3, "input": "[mul(copyIndex('squares'), copyIndex('squares'))]"}]
    }
    (one,) = run(
        [resource("x", properties={"copy": [outer], "squares": "[variables('squares')]"})], variables=variables
    ).resources
    assert one.body["properties"] == {"squares": [0, 1, 4], "outer": [{"inner": [0, 1]}, {"inner": [10, 11]}]}


def test_a_dependency_on_what_a_condition_leaves_out_falls_away() -> None:
    found = run(
        [resource("a", condition="[false()]"), resource("b", dependsOn=["[resourceId('A.B/cs', 'a')]"])]
    ).resources
    assert [(one.name, one.depends_on) for one in found] == [("b", ())]


def test_a_dependency_on_nothing_is_refused() -> None:
    refused(
        r"resources\[0\] A.B/cs: depends on '.*/cs/b', which the template",
        [resource("a", dependsOn=["[resourceId('A.B/cs', 'b')]"])],
    )


def test_a_circle_is_refused() -> None:
    refused("in a circle", [resource("a", dependsOn=["b"]), resource("b", dependsOn=["a"])])


def test_the_same_resource_twice_is_refused() -> None:
    refused("declared twice", [resource("a"), resource("A")])


def test_a_variable_that_depends_on_itself_is_refused() -> None:
    refused(
        "depends on itself",
        [resource("[variables('a')]")],
        variables={"a": "[variables('b')]", "b": "[variables('a')]"},
    )


@pytest.mark.parametrize(
    ("rule", "given", "complaint"),
    [
        ({"type": "string"}, {}, "parameter 'p': has no value and no default"),
        ({"type": "string"}, {"p": "x", "q": 1}, r"unknown parameters \['q'\]"),
        ({"type": "int"}, {"p": True}, "True is no int"),
        ({"type": "string", "allowedValues": ["a"]}, {"p": "b"}, "not allowed"),
        ({"type": "array", "maxLength": 1}, {"p": [1, 2]}, "breaks minLength None or maxLength 1"),
        ({"type": "int", "minValue": 3}, {"p": 2}, "breaks minValue 3"),
    ],
)
def test_a_parameter_that_breaks_its_rule_is_refused(rule: Any, given: Any, complaint: str) -> None:
    refused(complaint, [], parameters={"p": rule}, given=given)


def test_a_secret_is_not_shown_in_the_refusal() -> None:
    with pytest.raises(TemplateError) as raised:
        run([], parameters={"p": {"type": "securestring", "minLength": 10}}, given={"p": "hunter2"})
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("place", ["name", "condition", "variable", "count"])
def test_what_is_deployed_cannot_be_asked_before_the_deployment(place: str) -> None:
    asks = "[reference(resourceId('A.B/cs', 'a')).x]"
    changed: dict[str, Any] = {
        "name": resource(asks),
        "condition": resource("b", condition=asks),
        "variable": resource("[variables('v')]"),
        "count": resource("b", copy={"name": "loop", "count": asks}),
    }
    refused(r"reference\(\) stands in a name", [resource("a"), changed[place]], variables={"v": asks})


def test_a_reference_knows_what_the_template_sets_and_says_what_azure_will_tell() -> None:
    outputs = {
        "set": {"type": "string", "value": "[reference('a').size.name]"},
        "told": {"type": "string", "value": "[concat('https://', reference('a').host)]"},
        "key": {"type": "string", "value": "[listKeys('a', '2026').keys[0].value]"},
    }
    found = run([resource("a", properties={"size": {"name": "big"}})], outputs=outputs).outputs
    assert found["set"] == "big"
    assert found["told"] == "https://<host of A.B/cs/a>"
    assert str(found["key"]) == "<listkeys().keys.0.value of A.B/cs/a>"


def test_what_exists_already_can_be_told() -> None:
    template = {"resources": [], "outputs": {"x": {"type": "string", "value": f"[reference('{ID}/old').host]"}}}
    existing = {f"{ID}/old": {"properties": {"host": "old.example"}}}
    assert evaluate(template, {}, SCOPE, existing.get).outputs == {"x": "old.example"}


def test_a_nested_deployment_hands_on_parameters_and_outputs_and_goes_to_its_group() -> None:
    inner = {
        "parameters": {"who": {"type": "string"}},
        "resources": [resource("[concat('in-', parameters('who'))]")],
        "outputs": {"id": {"type": "string", "value": "[resourceId('A.B/cs', concat('in-', parameters('who')))]"}},
    }
    outer = nested("n", inner, {"who": {"value": "[parameters('who')]"}}, resourceGroup="other")
    after = resource("after", dependsOn=[outer["name"]], properties={"of": "[reference('n').outputs.id.value]"})
    found = run([after, outer], parameters={"who": {"type": "string", "defaultValue": "me"}})
    inside = "/subscriptions/sub-1/resourceGroups/other/providers/A.B/cs/in-me"
    assert [one.id for one in found.everything()] == [inside, f"{ID}/after"]
    assert list(found.everything())[1].body["properties"] == {"of": inside}


def test_a_nested_parameter_that_is_missing_names_the_deployment() -> None:
    refused(
        "resources.0. Microsoft.Resources/deployments 'n': parameter 'who': has no value",
        [nested("n", {"parameters": {"who": {"type": "string"}}})],
    )


def test_a_module_that_is_not_composed_or_of_outer_scope_is_refused() -> None:
    linked = nested("n", {})
    linked["properties"] = {"mode": "Incremental", "templateLink": {"relativePath": "n.json"}}
    refused("compose", [linked])
    outer = nested("n", {})
    outer["properties"]["expressionEvaluationOptions"] = {"scope": "outer"}
    refused("set expressionEvaluationOptions.scope to Inner", [outer])


def test_compose_puts_a_linked_module_in(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text('{"resources": []}', encoding="utf-8")
    (tmp_path / "main.json").write_text(
        '{"resources": [{"type": "Microsoft.Resources/deployments", "name": "n", '
        '"properties": {"mode": "Incremental", "templateLink": {"relativePath": "m.json"}}}]}',
        encoding="utf-8",
    )
    (one,) = compose(tmp_path / "main.json")["resources"]
    assert one["properties"] == {
        "mode": "Incremental",
        "expressionEvaluationOptions": {"scope": "Inner"},
        "template": {"resources": []},
    }


def test_a_missing_module_or_a_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"main\.json: cannot be read as JSON"):
        compose(tmp_path / "main.json")
    (tmp_path / "dev.json").write_text('{"parameters": {"a": 1}}', encoding="utf-8")
    with pytest.raises(TemplateError, match=r"dev\.json: no parameter file"):
        read_parameters(tmp_path / "dev.json")
