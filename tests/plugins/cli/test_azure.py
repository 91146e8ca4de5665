"""`millrace azure`: what a deployment would create, and the template in one file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from millrace.azure.arm import Scope, compose, evaluate, read_parameters
from millrace.azure.arm.compose import TEMPLATES
from millrace.cli import main
from tests.azure_control_plane.cloud import azure_cloud

Millrace = Callable[..., tuple[int, str, str]]
GIVEN = ("prefix=mr", "operatorPrincipalId=someone", "secretsExpire=1900000000")
PLAN = ("azure", "plan", "dev", "--layout", "hdinsight", "--location", "northeurope")
SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def millrace(capsys: pytest.CaptureFixture[str]) -> Millrace:
    """Runs a command; its exit code and what it printed."""

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


def assigned(*assignments: str) -> list[str]:
    return [part for one in assignments for part in ("--set", one)]


def test_a_plan_lists_what_would_be_created_and_what_each_depends_on(millrace: Millrace) -> None:
    code, out, _ = millrace(*PLAN, *assigned(*GIVEN), "--subscription", SUBSCRIPTION, "--json")
    assert code == 0
    shown = json.loads(out)
    by_type = {one["type"]: one for one in shown["resources"]}
    assert by_type["Microsoft.Network/virtualNetworks"]["depends_on"] == [
        "mr-dev-clusters-kafka",
        "mr-dev-clusters-compute",
        "mr-dev",
        "module nat-clusters",
    ]
    assert by_type["Microsoft.Resources/resourceGroups"]["module"] is None
    kinds = [one["module"] for one in shown["resources"] if one["type"] == "Microsoft.HDInsight/clusters"]
    assert kinds == ["kafka", "spark"]
    assert shown["outputs"]["vault"].startswith("<vaultUri of Microsoft.KeyVault/vaults/mr-dev-")


def test_names_in_a_plan_are_those_that_the_deployment_gives(millrace: Millrace) -> None:
    _, out, _ = millrace(*PLAN, *assigned(*GIVEN), "--subscription", SUBSCRIPTION, "--json")
    values = read_parameters(TEMPLATES / "parameters" / "dev.json") | {
        "layout": "hdinsight",
        "prefix": "mr",
        "operatorPrincipalId": "someone",
        "secretsExpire": 1_900_000_000,
        "clusterPassword": "a-Secret-1",
    }
    deployed = evaluate(compose(), values, Scope(SUBSCRIPTION, "t", "another name", "northeurope"))
    assert [one["id"] for one in json.loads(out)["resources"]] == [one.id for one in deployed.everything()]


def test_what_a_plan_costs_by_the_hour_is_told_where_it_is_asked_for(millrace: Millrace, tmp_path: Path) -> None:
    plan = ("azure", "plan", "dev", "--layout", "databricks", "--location", "northeurope")
    asked = (*plan, *assigned(*GIVEN, "kafka=eventhubs"))
    assert "USD" not in millrace(*asked)[1], "a plan asks nobody"
    with azure_cloud(tmp_path):
        _, out, _ = millrace(*asked, "--costs")
        _, told, _ = millrace(*asked, "--costs", "--json")
    # A throughput unit, a NAT gateway, and two machines for each of archive, speed layer and alerts.
    assert f"about {0.03 + 0.045 + 6 * 0.226:.2f} USD an hour" in out
    assert json.loads(told)["costs"][-1] in out


def test_for_people_it_is_a_table_that_says_which_names_are_not_final(millrace: Millrace) -> None:
    code, out, _ = millrace(*PLAN, *assigned(*GIVEN))
    assert code == 0
    assert "24 resources in 9 modules" in out
    assert "--subscription makes them the real ones" in out


@pytest.mark.parametrize(
    ("assignment", "code", "said"),
    [
        ("clusterPassword=a-Secret-1", 2, "a plan needs no secret"),
        ("prefixx=mr", 2, "parameter 'prefixx' is none of the template's"),
        ("prefix", 2, "write it as prefix=value"),
        ("zones=1,2", 2, "parameter 'zones': '1,2' is no JSON"),
        ("sshPublicKey=@/no/such/file", 1, "cannot be read"),
        ("kafka=pulsar", 1, "parameter 'kafka': 'pulsar' is not allowed"),
        ("kafkaWorkerCount=many", 2, "it is of type int"),
    ],
)
def test_a_parameter_that_is_wrong_is_named(millrace: Millrace, assignment: str, code: int, said: str) -> None:
    ended, _, told = millrace(*PLAN, *assigned(*GIVEN, assignment))
    assert (ended, told.count("\n")) == (code, 1)
    assert said in told


def test_a_missing_parameter_is_named(millrace: Millrace) -> None:
    code, _, told = millrace(*PLAN)
    assert code == 1
    assert "parameter 'prefix': has no value and no default" in told


def test_the_template_is_written_as_it_would_be_sent(millrace: Millrace, tmp_path: Path) -> None:
    written = tmp_path / "composed.json"
    assert millrace("azure", "template", "--output", str(written))[0] == 0
    assert json.loads(written.read_text()) == compose()
    code, out, _ = millrace("azure", "template")
    assert (code, json.loads(out)) == (0, compose())


def test_a_file_that_cannot_be_written_is_an_error(millrace: Millrace, tmp_path: Path) -> None:
    code, _, told = millrace("azure", "template", "--output", str(tmp_path / "none" / "composed.json"))
    assert code == 2
    assert "cannot be written" in told
