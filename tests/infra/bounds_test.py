"""On what: the resources and the conditions of what a role may call."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase

from infra.calls import ACROSS_REGIONS, STAR_SIDS
from infra.stack import DOCUMENTS, ROLES, sid
from infra.template import TEMPLATE, as_list, statements

TEMPLATE_TEXT = TEMPLATE.read_text()


def test_star_is_used_only_where_iam_offers_nothing_else() -> None:
    stars = {
        (role, statement["Sid"])
        for role in ROLES
        for statement in statements(ROLES[role])
        if "*" in as_list(statement["Resource"])
    }
    assert stars == STAR_SIDS
    region = {"StringEquals": {"aws:RequestedRegion": {"Ref": "AWS::Region"}}}
    with_copies = {"Fn::Split": [",", {"Fn::Sub": "${AWS::Region},${CopyRegions}"}]}
    regions = {"StringEquals": {"aws:RequestedRegion": with_copies}}
    for role, name in stars:
        assert sid(role, name)["Condition"] == (regions if role in ACROSS_REGIONS else region)
        above = TEMPLATE_TEXT[: TEMPLATE_TEXT.index(f"- Sid: {name}\n")].splitlines()[:-1]
        comment: list[str] = []
        while above and above[-1].strip().startswith("#"):
            comment.insert(0, above.pop().strip())
        assert comment and comment[0].startswith('# "*":'), f"{name} does not say why it needs *"


def test_resources_stay_in_this_account_and_region() -> None:
    for role in ROLES:
        for statement in statements(ROLES[role]):
            for resource in as_list(statement["Resource"]):
                arn = resource.get("Fn::Sub") if isinstance(resource, dict) else None
                if resource == {"Ref": "HubBusArn"}:  # wherever the operator's hub is
                    assert role == "HubRole"
                    continue
                if arn is None:  # "*", checked above, or the ARN of a resource of this template
                    continue
                assert arn.startswith("arn:${AWS::Partition}:"), arn
                if role in ACROSS_REGIONS and ":ec2:*::snapshot/" in arn:
                    continue  # the tags of the snapshot are the bound
                assert ":${AWS::Region}:" in arn, arn
                # Snapshot ARNs carry no account, nor do documents of AWS; a document may be shared
                # from another account.
                foreign = {"SendDocumentsMarkedForDlm", "SendDocumentsOfAws"}
                shared = any(f"::{kind}/" in arn for kind in ("snapshot", "image"))
                if not shared and statement["Sid"] not in foreign:
                    assert ":${AWS::AccountId}:" in arn, arn


def test_a_snapshot_cannot_be_made_without_a_run_id() -> None:
    making = [
        s for s in statements(ROLES["RunnerRole"]) if "ec2:CreateSnapshots" in as_list(s["Action"])
    ]
    on_snapshots = [s for s in making if "snapshot/" in json.dumps(s["Resource"])]
    assert [s["Sid"] for s in on_snapshots] == ["CreateSnapshotsWithRunId"]
    assert on_snapshots[0]["Condition"] == {
        "StringLike": {"aws:RequestTag/stillpoint:run-id": "?*"}
    }


def test_tags_are_written_only_where_and_as_promised() -> None:
    tagging = {
        s["Sid"]: s["Condition"]
        for s in statements(ROLES["RunnerRole"])
        if "ec2:CreateTags" in as_list(s["Action"])
    }
    named = {"Null": {"aws:TagKeys": "false"}}
    assert tagging == {
        "TagSnapshotsAtCreation": {"StringEquals": {"ec2:CreateAction": "CreateSnapshots"}},
        "TagOwnSnapshots": named
        | {
            "StringLike": {"aws:ResourceTag/stillpoint:run-id": "?*"},
            "ForAllValues:StringLike": {"aws:TagKeys": "stillpoint:*"},
        },
        "AdoptSnapshotsOfVss": {
            "StringLike": {"aws:RequestTag/stillpoint:run-id": "?*"},
            "Null": {
                "aws:ResourceTag/aws:dlm:lifecycle-policy-id": "true",
                "aws:ResourceTag/aws:backup:source-resource": "true",
            },
        },
        "TagInstancesWithOutcome": named
        | {
            "ForAllValues:StringEquals": {
                "aws:TagKeys": [
                    "stillpoint:last-outcome",
                    "stillpoint:last-application-consistent",
                ]
            }
        },
    }


def test_commands_go_only_to_marked_documents_and_willing_instances() -> None:
    sending = {
        s["Sid"]: s
        for s in statements(ROLES["RunnerRole"])
        if "ssm:SendCommand" in as_list(s["Action"])
    }
    assert set(sending) == {
        "SendOwnDocuments",
        "SendDocumentsMarkedForDlm",
        "SendDocumentsOfAws",
        "SendToInstances",
    }
    of_aws = [arn["Fn::Sub"] for arn in sending["SendDocumentsOfAws"]["Resource"]]
    assert [arn.rsplit(":", 1)[1] for arn in of_aws] == [
        "document/AWSEC2-CreateVssSnapshot",
        "document/AWSEC2-VssInstallAndSnapshot",
        "document/AWSSystemsManagerSAP-CreateDLMSnapshotForSAPHANA",
    ]
    own = sending["SendOwnDocuments"]["Resource"]["Fn::Sub"].rsplit("/", 1)[1]
    for document in DOCUMENTS.values():
        assert fnmatchcase(document["Name"], own)
    marked = sending["SendDocumentsMarkedForDlm"]["Condition"]
    assert marked == {"StringEquals": {"ssm:resourceTag/DLMScriptsAccess": "true"}}
    opted_out = sending["SendToInstances"]["Condition"]
    assert opted_out == {"StringNotEqualsIgnoreCase": {"aws:ResourceTag/DLMScriptsAccess": "false"}}


def test_nothing_is_deleted_that_is_not_on_record() -> None:
    deleting = {
        s["Sid"]: s["Condition"]
        for s in statements(ROLES["ReaperRole"])
        if {"ec2:DeleteSnapshot", "ec2:DeleteVolume"} & set(as_list(s["Action"]))
    }
    tag = "aws:ResourceTag/stillpoint:"
    assert deleting == {
        "DeleteSnapshotsOnRecord": {
            "StringLike": {f"{tag}run-id": "?*", f"{tag}deleting-at": "?*"}
        },
        "ClearAwayAfterRestores": {
            "StringLike": {f"{tag}job-id": "?*", f"{tag}delete-after": "?*"}
        },
    }
