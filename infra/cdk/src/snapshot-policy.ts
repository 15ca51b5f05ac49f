import { Duration, Stack } from "aws-cdk-lib";
import { CfnAlarm } from "aws-cdk-lib/aws-cloudwatch";
import { CfnInclude } from "aws-cdk-lib/cloudformation-include";
import { Construct } from "constructs";
import { CRON, matching, POLICY_ID, within } from "./bounds";
import { Application, PolicyDetails, Retention } from "./details";
import { referSchedulesTo } from "./schedules";
import { Stillpoint } from "./stillpoint";
import { template } from "./templates";

/** What can be chosen for one policy. Everything has a default. */
export interface SnapshotPolicyProps {
  /**
   * Needed only when it is in the same stack; policies in other stacks import what they need.
   * @default the one of this account and Region
   */
  readonly stillpoint?: Stillpoint;
  /**
   * The policy's id: letters, digits, `_`, `.` and `-`.
   * @default the construct's id
   */
  readonly policyId?: string;
  /**
   * Instances with any of these tags are targets.
   * @default Backup = the policy's id
   */
  readonly targetTags?: Readonly<Record<string, string>>;
  /**
   * What quiesces them.
   * @default Application.FILESYSTEM
   */
  readonly application?: Application;
  /**
   * When, in UTC: EventBridge's six fields.
   * @default "cron(0 3 * * ? *)", at three every night
   */
  readonly cron?: string;
  /**
   * How long snapshots are kept.
   * @default Retention.sets(7)
   */
  readonly retain?: Retention;
  /**
   * The boot volume cannot be frozen, and mostly need not be in the set.
   * @default true
   */
  readonly excludeBootVolume?: boolean;
  /**
   * A crash-consistent set, labelled as such, when the script fails; without it that run fails.
   * @default true
   */
  readonly snapshotWithoutScript?: boolean;
  /**
   * How long each of the two scripts may take: 10 to 120 seconds.
   * @default 60 seconds; DLM's own is 10, too short for a busy disk
   */
  readonly scriptTimeout?: Duration;
  /**
   * How often a failed script is tried again: 0 to 3.
   * @default 1
   */
  readonly retries?: number;
  /**
   * Tags of the source volumes go onto the snapshots.
   * @default true
   */
  readonly copyTags?: boolean;
  /**
   * Tags of your own for the snapshots.
   * @default none
   */
  readonly tags?: Readonly<Record<string, string>>;
  /**
   * The alarm rings when there was no application-consistent set for so long: hours, a week at most.
   * @default 26 hours; none for a document that gives no receipts
   */
  readonly goodSetWithin?: Duration;
}

/** As infra/policy.yaml; Parameter Store's limit. */
const DOCUMENT_CHARS_MAX = 4096;
const SCHEDULE = "Schedule";

/**
 * One policy: its document in Parameter Store, its schedule, its alarm.
 *
 * ```ts
 * new SnapshotPolicy(this, "nightly");
 * new SnapshotPolicy(this, "databases", { application: Application.POSTGRESQL });
 * ```
 */
export class SnapshotPolicy extends Construct {
  /** The document, in DLM's form. */
  readonly details: PolicyDetails;
  /** The included template. */
  readonly template: CfnInclude;

  constructor(scope: Construct, id: string, props: SnapshotPolicyProps = {}) {
    super(scope, id);
    const policyId = matching("policyId", props.policyId ?? id, POLICY_ID, "1 to 64 letters, digits, _ . -");
    const cron = matching("cron", props.cron ?? "cron(0 3 * * ? *)", CRON, "cron(...) with six fields, in UTC");
    this.details = details(policyId, cron, props);
    const document = JSON.stringify(this.details);
    if (document.length > DOCUMENT_CHARS_MAX) {
      throw new Error(`tags: the policy has ${document.length} characters, allowed ${DOCUMENT_CHARS_MAX}`);
    }
    this.template = new CfnInclude(this, "Template", {
      templateFile: template("policy.yaml"),
      // Several policies share a stack here, so that logical ids have to differ.
      preserveLogicalIds: false,
      parameters: {
        PolicyId: policyId,
        PolicyDocument: document,
        ScheduleName: SCHEDULE,
        ScheduleExpression: cron,
      },
    });
    const hours = goodSetHours(props);
    // The default of the template's parameter, and not a literal in its place: the condition that it is 0
    // stays one, and `cdk deploy --parameters` can still say otherwise.
    if (hours !== undefined) this.template.getParameter("GoodSetHours").default = hours;
    if (props.stillpoint?.stack === Stack.of(this)) this.referTo(props.stillpoint);
    else if (props.stillpoint !== undefined) this.node.addDependency(props.stillpoint);
  }

  /** A stack cannot import what it exports itself: refer to the resources instead. */
  private referTo(stillpoint: Stillpoint): void {
    referSchedulesTo(stillpoint, this.template, "Planner", "FiringsDeadQueue");
    const alarm = this.template.getResource("NoGoodSetAlarm") as CfnAlarm;
    alarm.alarmActions = [stillpoint.alarms.topicArn];
    alarm.okActions = [stillpoint.alarms.topicArn];
  }
}

function details(policyId: string, cron: string, props: SnapshotPolicyProps): PolicyDetails {
  const targets = tagList(props.targetTags ?? { Backup: policyId });
  within("targetTags", targets.length, 1, 50);
  const tags = tagList(props.tags ?? {});
  within("tags", tags.length, 0, 45);
  return {
    PolicyType: "EBS_SNAPSHOT_MANAGEMENT",
    ResourceTypes: ["INSTANCE"],
    TargetTags: targets,
    Parameters: { ExcludeBootVolume: props.excludeBootVolume ?? true },
    Schedules: [
      {
        Name: SCHEDULE,
        CopyTags: props.copyTags ?? true,
        ...(tags.length > 0 ? { TagsToAdd: tags } : {}),
        CreateRule: {
          CronExpression: cron,
          Scripts: [
            {
              ExecutionHandler: (props.application ?? Application.FILESYSTEM).documentName,
              ExecutionTimeout: within("scriptTimeout", seconds(props.scriptTimeout ?? Duration.seconds(60)), 10, 120),
              MaximumRetryCount: within("retries", props.retries ?? 1, 0, 3),
              ExecuteOperationOnScriptFailure: props.snapshotWithoutScript ?? true,
            },
          ],
        },
        RetainRule: (props.retain ?? Retention.sets(7)).rule,
      },
    ],
  };
}

function goodSetHours(props: SnapshotPolicyProps): number | undefined {
  if (props.goodSetWithin !== undefined) {
    return within("goodSetWithin", props.goodSetWithin.toHours({ integral: false }), 1, 168);
  }
  // The template's default is for documents that give receipts.
  return (props.application ?? Application.FILESYSTEM).givesReceipts ? undefined : 0;
}

function seconds(duration: Duration): number {
  return duration.toSeconds({ integral: false });
}

function tagList(tags: Readonly<Record<string, string>>): { Key: string; Value: string }[] {
  return Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
}
