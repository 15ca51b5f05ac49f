import { CfnSchedule } from "aws-cdk-lib/aws-scheduler";
import { CfnInclude } from "aws-cdk-lib/cloudformation-include";
import { Stillpoint } from "./stillpoint";

/**
 * Schedules of an included template in the stack of Stillpoint itself, which cannot import what it exports:
 * they refer to its resources instead.
 */
export function referSchedulesTo(stillpoint: Stillpoint, included: CfnInclude, fires: string, givesUp: string): void {
  const of = (logicalId: string) => stillpoint.template.getResource(logicalId);
  for (const schedule of included.node.findAll().filter((one) => one instanceof CfnSchedule)) {
    schedule.groupName = of("Schedules").ref;
    schedule.addPropertyOverride("Target.Arn", of(fires).getAtt("Arn"));
    schedule.addPropertyOverride("Target.RoleArn", of("SchedulerRole").getAtt("Arn"));
    schedule.addPropertyOverride("Target.DeadLetterConfig.Arn", of(givesUp).getAtt("Arn"));
  }
}
