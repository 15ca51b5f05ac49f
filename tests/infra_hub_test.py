"""Many accounts and Regions: what the shards send is what the hub lets in, and nothing else."""

import json
import re

from infra.template import HUB, TEMPLATE, load, of_type

STACK, HUB_STACK = load(TEMPLATE), load(HUB)


def test_the_hub_lets_in_what_the_shards_send_and_nothing_else() -> None:
    sent = of_type(STACK, "AWS::Events::Rule")["HubRule"]["EventPattern"]
    (policy,) = of_type(HUB_STACK, "AWS::Events::EventBusPolicy").values()
    statement = policy["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Allow", "events:PutEvents")
    condition = statement["Condition"]["StringEquals"]
    assert condition["aws:PrincipalOrgID"] == {"Ref": "OrganizationId"}
    assert [condition["events:source"]] == sent["source"]
    assert [condition["events:detail-type"]] == sent["detail-type"]
    (rule,) = of_type(HUB_STACK, "AWS::Events::Rule").values()
    assert rule["EventPattern"] == sent


def test_a_shard_without_a_hub_has_nothing_of_it() -> None:
    for name in ("HubRule", "HubRole"):
        assert STACK["Resources"][name]["Condition"] == "HasHub"
    assert STACK["Conditions"]["HasHub"] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "HubBusArn"}, ""]}]
    }


def test_only_eventbridge_of_this_account_writes_the_log() -> None:
    (policy,) = of_type(HUB_STACK, "AWS::Logs::ResourcePolicy").values()
    text = re.sub(r"\$\{[^}]*\}", "x", policy["PolicyDocument"]["Fn::Sub"])
    (statement,) = json.loads(text)["Statement"]
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "x"}}
    assert statement["Resource"].endswith(":log-group:x:*")
