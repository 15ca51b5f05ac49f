/**
 * What cdk-nag's AWS Solutions pack and CDK's own validation find in the template, and why each is as it
 * should be. Apps inherit these acknowledgements; a test fails on a finding that is none of them.
 */
import { CfnResource, Stack, Validations } from "aws-cdk-lib";
import { CfnManagedPolicy, CfnRole } from "aws-cdk-lib/aws-iam";
import { CfnQueue } from "aws-cdk-lib/aws-sqs";
import { CfnInclude } from "aws-cdk-lib/cloudformation-include";

/** Resources with a wildcard, as roles of the template name them, each with its reason. */
const WILDCARDS: readonly (readonly [RegExp, string])[] = [
  [
    /^\*$/,
    "These calls know no resource-level permission; the Region is the only bound that IAM offers. " +
      "tests/infra/calls.py has the list of them.",
  ],
  [
    /:parameter\/stillpoint\/[a-z]+\/?\*$/,
    "Policies come and go with stacks of their own; the prefix is Stillpoint's alone.",
  ],
  [
    /:ec2:[^/]*:instance\/\*$/,
    "Which instances is what the policies' target tags decide; a tag opts an instance out of scripts.",
  ],
  [/:ec2:[^/]*:volume\/\*$/, "The volumes are those of the targets, and come and go with them."],
  [
    /:ec2:[^/]*:snapshot\/\*$/,
    "A snapshot has no id before it is made; the conditions demand a run id, and ours for everything later.",
  ],
  [/:document\/Stillpoint-\*$/, "The documents of this template."],
  [/:dlm:[^/]*:policy\/\*$/, "Which of DLM's policies are taken over is what a person decides; they are only read."],
  [
    /:ssm:[^/]*:document\/\*$/,
    "A policy may name any document, also one shared by another account; sent are only those that their owner " +
      "tagged DLMScriptsAccess=true.",
  ],
  [
    /:ec2:[^/]*:(image|key-pair|network-interface|security-group|subnet)\/\*$/,
    "A restore takes those of the instance that it replaces, which are not known before.",
  ],
];

const DEAD_LETTERS = "It is a dead-letter queue itself; an alarm watches it.";

/** Puts the acknowledgements on the resources of the included template. */
export function acknowledge(template: CfnInclude): void {
  for (const resource of template.node.findAll()) {
    if (resource instanceof CfnRole || resource instanceof CfnManagedPolicy) {
      for (const arn of wildcards(resource)) {
        const reason = WILDCARDS.find(([pattern]) => pattern.test(arn))?.[1];
        if (reason !== undefined) add(resource, `IAM5[Resource::${arn}]`, reason);
      }
    } else if (resource instanceof CfnQueue && resource.node.id.endsWith("DeadQueue")) {
      add(resource, "SQS3", DEAD_LETTERS);
    }
  }
  add(template.getResource("State"), "DDB3", "Nothing of it is worth restoring: an unused budget is filled anew within a minute.");
  Validations.of(template.getResource("HubRule")).acknowledge({
    id: "CloudFormation-Validate::W1030",
    reason: "Without a hub there is no such rule, by its condition.",
  });
}

/** Every resource with a wildcard that its statements name, written as cdk-nag writes it. */
function wildcards(resource: CfnRole | CfnManagedPolicy): Set<string> {
  const policies = resource instanceof CfnRole ? resource.policies : resource.policyDocument;
  const found = new Set<string>();
  const look = (value: any, inResource: boolean): void => {
    if (typeof value === "string") {
      if (inResource && value.includes("*")) found.add(value.replace(/\$\{([^}]+)\}/g, "<$1>"));
    } else if (value !== null && typeof value === "object") {
      for (const [key, one] of Object.entries(value)) look(one, inResource || key === "Resource");
    }
  };
  look(Stack.of(resource).resolve(policies), false);
  return found;
}

function add(resource: CfnResource, finding: string, reason: string): void {
  Validations.of(resource).acknowledge({ id: `AwsSolutions::AwsSolutions-${finding}`, reason });
}
