import assert from "node:assert/strict";
import { test } from "node:test";
import { App, Duration, Stack } from "aws-cdk-lib";
import { Template } from "aws-cdk-lib/assertions";
import { RestoreDrill, RestoreDrillProps } from "../src";
import { Json, own, raw, substitute, withStillpoint } from "./synth";

const HOST = "i-0123456789abcdef0";

function drill(props: Partial<RestoreDrillProps> = {}): Stack {
  const stack = new Stack(new App(), "drills");
  new RestoreDrill(stack, "weekly", { policyId: "nightly", hostInstanceId: HOST, ...props });
  return stack;
}

/** What the schedule gives to the restorer. */
function request(stack: Stack): Json {
  const [schedule] = Object.values<Json>(Template.fromStack(stack).findResources("AWS::Scheduler::Schedule"));
  const input = schedule!["Properties"].Target.Input;
  return JSON.parse(typeof input === "string" ? input : input["Fn::Sub"]);
}

test("deploys the resources of infra/drill.yaml, with its defaults", () => {
  const template = raw("drill.yaml");
  const defaults = Object.entries<Json>(template["Parameters"]).map(([name, one]) => [name, one["Default"]]);
  const chosen = { ...Object.fromEntries(defaults), PolicyId: "nightly", HostInstanceId: HOST };
  const made = Template.fromStack(drill()).toJSON();
  assert.deepEqual(own(made, "weekly"), own(substitute(template, chosen), "weekly"));
});

test("what is chosen arrives", () => {
  const stack = drill({
    cron: "cron(0 5 * * ? *)",
    timeZone: "Europe/Berlin",
    timeout: Duration.hours(1),
    checks: {
      mounts: { "/dev/sdf": "/var/lib/postgresql", "/dev/sdg": "/wal" },
      application: "postgresql",
      dataDirectory: "/var/lib/postgresql/15/main",
      query: "select count(*) > 0 from orders",
    },
  });
  assert.deepEqual(request(stack), {
    into: "drill",
    policyId: "nightly",
    hostInstanceId: HOST,
    document: "Stillpoint-Drill",
    parameters: {
      application: "postgresql",
      dataDirectory: "/var/lib/postgresql/15/main",
      query: "select count(*) > 0 from orders",
      mounts: "/dev/sdf:/var/lib/postgresql,/dev/sdg:/wal",
    },
    timeoutSeconds: 3600,
  });
  Template.fromStack(stack).hasResourceProperties("AWS::Scheduler::Schedule", {
    ScheduleExpression: "cron(0 5 * * ? *)",
    ScheduleExpressionTimezone: "Europe/Berlin",
  });
});

test("drills share the stack of Stillpoint", () => {
  const { stack, stillpoint } = withStillpoint();
  new RestoreDrill(stack, "weekly", { stillpoint, policyId: "nightly", hostInstanceId: HOST });
  const template = Template.fromStack(stack);
  assert.ok(!JSON.stringify(template.toJSON()).includes("Fn::ImportValue"), "a stack cannot import what it exports");
  template.hasResourceProperties("AWS::Scheduler::Schedule", {
    GroupName: { Ref: "Schedules" },
    Target: {
      Arn: { "Fn::GetAtt": ["Restorer", "Arn"] },
      RoleArn: { "Fn::GetAtt": ["SchedulerRole", "Arn"] },
      DeadLetterConfig: { Arn: { "Fn::GetAtt": ["EventsDeadQueue", "Arn"] } },
    },
  });
});

test("drills in another stack wait for Stillpoint", () => {
  const { app, stack, stillpoint } = withStillpoint();
  const other = new Stack(app, "drills");
  new RestoreDrill(other, "weekly", { stillpoint, policyId: "nightly", hostInstanceId: HOST });
  app.synth();
  assert.deepEqual(other.dependencies, [stack]);
});

const WRONG: readonly [string, Partial<RestoreDrillProps>][] = [
  ["policyId", { policyId: "with blank" }],
  ["hostInstanceId", { hostInstanceId: "web-1" }],
  ["cron", { cron: "rate(7 days)" }],
  ["timeZone", { timeZone: "Central European" }],
  ["timeout", { timeout: Duration.seconds(59) }],
  ["timeout", { timeout: Duration.hours(9) }],
  ["checks.query", { checks: { query: 'select "name" from t' } }],
  ["checks", { checks: { query: "x".repeat(4097) } }],
];

for (const [property, props] of WRONG) {
  test(`a wrong ${property} of a drill is refused by name: ${JSON.stringify(props).slice(0, 40)}`, () => {
    assert.throws(() => drill(props), new RegExp(`^Error: ${property}: .*allowed `));
  });
}
