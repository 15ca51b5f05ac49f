import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Validations } from "aws-cdk-lib";
import { CfnTopic } from "aws-cdk-lib/aws-sns";
import { AwsSolutionsChecks } from "cdk-nag";
import { RestoreDrill, SnapshotPolicy } from "../src";
import { Json, withStillpoint } from "./synth";

/** cdk-nag and CDK's own validation over Stillpoint, a policy, its drills and whatever `more` adds. */
function findings(more: (stack: ReturnType<typeof withStillpoint>["stack"]) => void = () => {}): Json[] {
  const { app, stack, stillpoint } = withStillpoint();
  new SnapshotPolicy(stack, "nightly", { stillpoint });
  new RestoreDrill(stack, "drills", { stillpoint, policyId: "nightly", hostInstanceId: "i-0123456789abcdef0" });
  more(stack);
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  try {
    app.synth();
  } catch (error) {
    assert.match(String(error), /ValidationFailed/);
  }
  const report = JSON.parse(readFileSync(join(app.outdir, "validation-report.json"), "utf8"));
  const plugins = report.pluginReports as Json[];
  assert.ok(plugins.some((one) => one["pluginName"] === "AwsSolutions"), "cdk-nag did not run");
  return plugins.flatMap((one) => one["violations"]);
}

test("neither cdk-nag nor CDK's own validation has a finding without a reason", () => {
  assert.deepEqual(findings(), []);
});

test("a finding that nobody explained is seen", () => {
  const found = findings((stack) => void new CfnTopic(stack, "Open"));
  assert.deepEqual(found.map((one) => one["ruleName"]), ["AwsSolutions-SNS3"]);
});
