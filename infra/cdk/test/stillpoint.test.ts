import assert from "node:assert/strict";
import { test } from "node:test";
import { App, Stack } from "aws-cdk-lib";
import { Template } from "aws-cdk-lib/assertions";
import { EventBus } from "aws-cdk-lib/aws-events";
import { Architecture, Code } from "aws-cdk-lib/aws-lambda";
import { RetentionDays } from "aws-cdk-lib/aws-logs";
import { Stillpoint } from "../src";
import { Json, raw, substitute, text, withStillpoint } from "./synth";

/** What the construct always chooses. */
const CHOSEN: Json = {
  CodeBucket: "code-bucket",
  CodeKey: "functions.zip",
  Architecture: "arm64",
  LogRetentionDays: 90,
};

test("deploys infra/template.yaml as it is, and nothing else", () => {
  const expected = raw("template.yaml");
  const actual = Template.fromStack(withStillpoint().stack).toJSON();
  for (const section of ["Resources", "Outputs", "Conditions"]) {
    assert.deepEqual(actual[section], substitute(expected[section], CHOSEN), section);
  }
  assert.ok(Object.keys(actual["Resources"]).length > 20);
});

test("parameters that no property sets stay parameters, each with a default", () => {
  const { BootstrapVersion: _, ...parameters } = raw("template.yaml")["Parameters"] as Json;
  for (const [name, value] of Object.entries(CHOSEN)) {
    if (parameters[name].Default !== undefined) assert.equal(parameters[name].Default, value, name);
  }
  const { BootstrapVersion: __, ...left } = Template.fromStack(withStillpoint().stack).toJSON()["Parameters"] as Json;
  assert.deepEqual(Object.keys(left).sort(), Object.keys(parameters).filter((name) => !(name in CHOSEN)).sort());
  for (const [name, parameter] of Object.entries<Json>(left)) assert.notEqual(parameter["Default"], undefined, name);
});

test("the template is the one of infra/", () => {
  assert.match(text("template.yaml"), /^# Stillpoint in one account and Region/);
});

test("what is chosen arrives", () => {
  const { stack } = withStillpoint({
    architecture: Architecture.X86_64,
    logRetention: RetentionDays.ONE_YEAR,
    alarmEmail: "oncall@example.com",
    hub: EventBus.fromEventBusArn(new Stack(), "Hub", "arn:aws:events:eu-west-1:111122223333:event-bus/hub"),
  });
  const template = Template.fromStack(stack);
  template.allResourcesProperties("AWS::Lambda::Function", { Architectures: ["x86_64"] });
  template.allResourcesProperties("AWS::Logs::LogGroup", { RetentionInDays: 365 });
  template.hasResourceProperties("AWS::SNS::Subscription", { Endpoint: "oncall@example.com" });
  template.hasResourceProperties("AWS::Events::Rule", {
    Targets: [{ Arn: "arn:aws:events:eu-west-1:111122223333:event-bus/hub" }],
  });
});

test("what is made can be used by others", () => {
  const { stack, stillpoint } = withStillpoint();
  assert.deepEqual(stack.resolve(stillpoint.alarms.topicArn), { Ref: "AlarmTopic" });
  assert.deepEqual(stack.resolve(stillpoint.bus.eventBusName), { Ref: "Bus" });
  assert.deepEqual(stack.resolve(stillpoint.planner.functionArn), { "Fn::GetAtt": ["Planner", "Arn"] });
  assert.deepEqual(stack.resolve(stillpoint.ledger.tableName), { Ref: "Ledger" });
});

test("wrong properties are refused by name", () => {
  assert.throws(() => new Stillpoint(new Stack(new App(), "s"), "Stillpoint", { code: Code.fromInline("x") }), /^Error: code:/);
  assert.throws(() => withStillpoint({ logRetention: RetentionDays.INFINITE }), /^Error: logRetention: found INFINITE/);
});
