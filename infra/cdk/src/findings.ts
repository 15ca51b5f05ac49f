/**
 * What cdk-nag's AWS Solutions pack and CDK's own validation find in the template, and why each is as it
 * should be. Apps inherit these acknowledgements; a test fails on a finding that is none of them.
 */
import { CfnResource, Validations } from "aws-cdk-lib";
import { CfnRole } from "aws-cdk-lib/aws-iam";
import { CfnQueue } from "aws-cdk-lib/aws-sqs";
import { CfnInclude } from "aws-cdk-lib/cloudformation-include";

const HERE = "<AWS::Region>:<AWS::AccountId>";

/** Resources with a wildcard that roles of the template name, each with its reason. */
const WILDCARDS: Readonly<Record<string, string>> = {
  "*":
    "These calls know no resource-level permission; the Region is the only bound that IAM offers. " +
    "tests/infra_test.py holds the list of them.",
  [`arn:<AWS::Partition>:ssm:${HERE}:parameter/stillpoint/policies/*`]:
    "Policies come and go with stacks of their own; their prefix is Stillpoint's alone.",
  [`arn:<AWS::Partition>:ec2:${HERE}:instance/*`]:
    "Which instances is what the policies' target tags decide; a tag opts an instance out of scripts.",
  [`arn:<AWS::Partition>:ec2:${HERE}:volume/*`]:
    "The volumes are those of the targets, and come and go with them.",
  "arn:<AWS::Partition>:ec2:<AWS::Region>::snapshot/*":
    "A snapshot has no id before it is made; the conditions demand a run id, and ours for later tags.",
  [`arn:<AWS::Partition>:ssm:${HERE}:document/Stillpoint-*`]: "The documents of this template.",
  "arn:<AWS::Partition>:ssm:<AWS::Region>:*:document/*":
    "Documents that their owner tagged DLMScriptsAccess=true, also those shared by another account.",
};

const DEAD_LETTERS = "It is a dead-letter queue itself; an alarm watches it, and a person empties it.";

/** Puts the acknowledgements on the resources of the included template. */
export function acknowledge(template: CfnInclude): void {
  for (const resource of template.node.findAll()) {
    if (resource instanceof CfnRole) {
      for (const [arn, reason] of Object.entries(WILDCARDS)) add(resource, `IAM5[Resource::${arn}]`, reason);
    } else if (resource instanceof CfnQueue && resource.node.id.endsWith("DeadQueue")) {
      add(resource, "SQS3", DEAD_LETTERS);
    }
  }
  Validations.of(template.getResource("HubRule")).acknowledge({
    id: "CloudFormation-Validate::W1030",
    reason: "Without a hub there is no such rule, by its condition.",
  });
}

function add(resource: CfnResource, finding: string, reason: string): void {
  Validations.of(resource).acknowledge({ id: `AwsSolutions::AwsSolutions-${finding}`, reason });
}
