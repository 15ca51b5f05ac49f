import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { App, Duration, Stack } from "aws-cdk-lib";
import { Template } from "aws-cdk-lib/assertions";
import { Application, Retention, SnapshotPolicy, SnapshotPolicyProps } from "../src";
import { Json, own, raw, substitute, withStillpoint } from "./synth";

// The one-line policy, as the Rust parser is tested with it.
const DEFAULT = JSON.parse(readFileSync(join(__dirname, "..", "..", "test", "default-policy.json"), "utf8"));

function policy(props: SnapshotPolicyProps = {}, id = "nightly"): { policy: SnapshotPolicy; stack: Stack } {
  const stack = new Stack(new App(), "policies");
  return { policy: new SnapshotPolicy(stack, id, props), stack };
}

test("deploys the resources of infra/policy.yaml", () => {
  const made = policy();
  const expected = substitute(raw("policy.yaml"), {
    PolicyId: "nightly",
    PolicyDocument: JSON.stringify(DEFAULT),
    ScheduleName: "Schedule",
    ScheduleExpression: "cron(0 3 * * ? *)",
  });
  assert.deepEqual(own(Template.fromStack(made.stack).toJSON(), "nightly"), own(expected, "nightly"));
});

test("one line is a whole policy", () => {
  assert.deepEqual(policy().policy.details, DEFAULT);
});

test("what is chosen arrives", () => {
  const made = policy({
    policyId: "databases",
    targetTags: { Backup: "db", Role: "db" },
    application: Application.POSTGRESQL,
    cron: "cron(30 1 ? * MON-FRI *)",
    retain: Retention.days(30),
    excludeBootVolume: false,
    snapshotWithoutScript: false,
    scriptTimeout: Duration.minutes(2),
    retries: 3,
    copyTags: false,
    tags: { Team: "db" },
    goodSetWithin: Duration.days(3),
  });
  assert.deepEqual(made.policy.details, {
    PolicyType: "EBS_SNAPSHOT_MANAGEMENT",
    ResourceTypes: ["INSTANCE"],
    TargetTags: [{ Key: "Backup", Value: "db" }, { Key: "Role", Value: "db" }],
    Parameters: { ExcludeBootVolume: false },
    Schedules: [
      {
        Name: "Schedule",
        CopyTags: false,
        TagsToAdd: [{ Key: "Team", Value: "db" }],
        CreateRule: {
          CronExpression: "cron(30 1 ? * MON-FRI *)",
          Scripts: [
            {
              ExecutionHandler: "Stillpoint-PostgreSQL",
              ExecutionTimeout: 120,
              MaximumRetryCount: 3,
              ExecuteOperationOnScriptFailure: false,
            },
          ],
        },
        RetainRule: { Interval: 30, IntervalUnit: "DAYS" },
      },
    ],
  });
  const template = Template.fromStack(made.stack);
  template.hasResourceProperties("AWS::Scheduler::Schedule", { ScheduleExpression: "cron(30 1 ? * MON-FRI *)" });
  assert.deepEqual(goodSetDefaults(made.stack), [72]);
});

test("a document that gives no receipts has no alarm for good sets", () => {
  const made = policy({ application: Application.document("Own-Document") });
  assert.deepEqual(goodSetDefaults(made.stack), [0]);
  assert.deepEqual(goodSetDefaults(policy().stack), [26]);
});

function goodSetDefaults(stack: Stack): number[] {
  const parameters = Object.entries<Json>(Template.fromStack(stack).toJSON()["Parameters"]);
  return parameters.filter(([name]) => name.includes("GoodSetHours")).map(([, one]) => one["Default"]);
}

test("several policies share a stack, also with Stillpoint itself", () => {
  const { stack, stillpoint } = withStillpoint();
  new SnapshotPolicy(stack, "nightly", { stillpoint });
  new SnapshotPolicy(stack, "hourly", { stillpoint, cron: "cron(0 * * * ? *)" });
  const template = Template.fromStack(stack).toJSON();
  assert.ok(!JSON.stringify(template).includes("Fn::ImportValue"), "a stack cannot import what it exports");
  const schedules = Object.entries<Json>(template["Resources"])
    .filter(([name, one]) => one["Type"] === "AWS::Scheduler::Schedule" && name !== "GuardSchedule")
    .map(([, one]) => one);
  assert.equal(schedules.filter((one) => one["Condition"] === undefined).length, 2);
  for (const schedule of schedules) {
    assert.deepEqual(schedule["Properties"].GroupName, { Ref: "Schedules" });
    assert.deepEqual(schedule["Properties"].Target.Arn, { "Fn::GetAtt": ["Planner", "Arn"] });
    assert.deepEqual(schedule["Properties"].Target.RoleArn, { "Fn::GetAtt": ["SchedulerRole", "Arn"] });
    assert.deepEqual(schedule["Properties"].Target.DeadLetterConfig, { Arn: { "Fn::GetAtt": ["FiringsDeadQueue", "Arn"] } });
  }
});

test("a policy in another stack waits for Stillpoint", () => {
  const { app, stack, stillpoint } = withStillpoint();
  const other = new Stack(app, "policies");
  new SnapshotPolicy(other, "nightly", { stillpoint });
  app.synth();
  assert.deepEqual(other.dependencies, [stack]);
});

const WRONG: readonly [string, SnapshotPolicyProps][] = [
  ["policyId", { policyId: "with blank" }],
  ["cron", { cron: "rate(1 hour)" }],
  ["targetTags", { targetTags: {} }],
  ["tags", { tags: Object.fromEntries(Array.from({ length: 46 }, (_, n) => [`k${n}`, "v"])) }],
  ["tags", { tags: { Long: "x".repeat(4096) } }],
  ["scriptTimeout", { scriptTimeout: Duration.seconds(5) }],
  ["scriptTimeout", { scriptTimeout: Duration.millis(10_500) }],
  ["retries", { retries: 4 }],
  ["goodSetWithin", { goodSetWithin: Duration.days(8) }],
  ["goodSetWithin", { goodSetWithin: Duration.minutes(90) }],
];

for (const [property, props] of WRONG) {
  test(`a wrong ${property} is refused by name: ${JSON.stringify(props).slice(0, 40)}`, () => {
    assert.throws(() => policy(props), new RegExp(`^Error: ${property}: .*allowed `));
  });
}

test("a wrong retention is refused by name", () => {
  assert.throws(() => Retention.sets(0), /^Error: retain: found 0, allowed/);
  assert.throws(() => Retention.days(36501), /^Error: retain: found 36501, allowed/);
});
