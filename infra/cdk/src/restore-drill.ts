import { Duration, Stack } from "aws-cdk-lib";
import { CfnInclude } from "aws-cdk-lib/cloudformation-include";
import { Construct } from "constructs";
import { CRON, matching, POLICY_ID, within } from "./bounds";
import { referSchedulesTo } from "./schedules";
import { Stillpoint } from "./stillpoint";
import { template } from "./templates";

/** What the document `Stillpoint-Drill` does with the copies beside checking their filesystems. */
export interface DrillChecks {
  /**
   * Where the originals were mounted: device in the set to path.
   * @default copies are only checked
   */
  readonly mounts?: Readonly<Record<string, string>>;
  /**
   * What is started on the copies.
   * @default nothing
   */
  readonly application?: "postgresql" | "command";
  /** The server's data directory, below one of the mounts. */
  readonly dataDirectory?: string;
  /**
   * The database that is asked.
   * @default "postgres"
   */
  readonly database?: string;
  /** SQL that must succeed and not answer f; with the application `command` a shell command that must exit 0. */
  readonly query?: string;
}

/** What can be chosen for the drills of one policy. */
export interface RestoreDrillProps {
  /** The id of the policy whose sets are drilled. */
  readonly policyId: string;
  /** The instance that copies are attached to and verified on. */
  readonly hostInstanceId: string;
  /**
   * Needed only when it is in the same stack; drills in other stacks import what they need.
   * @default the one of this account and Region
   */
  readonly stillpoint?: Stillpoint;
  /**
   * When: EventBridge's six fields. Rarer than the policy's sets; one that was drilled is not drilled again.
   * @default "cron(0 6 ? * SUN *)", on Sundays at six
   */
  readonly cron?: string;
  /**
   * By whose clock.
   * @default "UTC"
   */
  readonly timeZone?: string;
  /**
   * What is looked at.
   * @default the filesystems of the copies
   */
  readonly checks?: DrillChecks;
  /**
   * How long the verification may take: a minute to eight hours.
   * @default 30 minutes
   */
  readonly timeout?: Duration;
}

/** As infra/drill.yaml. */
const HOST = /^i-[0-9a-f]{8,17}$/;
const TIME_ZONE = /^[0-9A-Za-z_+/-]{1,50}$/;
const TEXT = /^[^"\\\n]*$/;
const PARAMETERS_CHARS_MAX = 4096;

/**
 * Restore drills of one policy: its sets in turn, each verified on a host of yours and cleared away.
 *
 * ```ts
 * new RestoreDrill(this, "drills", { policyId: "nightly", hostInstanceId: "i-0123456789abcdef0" });
 * ```
 */
export class RestoreDrill extends Construct {
  /** The included template. */
  readonly template: CfnInclude;

  constructor(scope: Construct, id: string, props: RestoreDrillProps) {
    super(scope, id);
    const timeout = (props.timeout ?? Duration.minutes(30)).toSeconds({ integral: false });
    this.template = new CfnInclude(this, "Template", {
      templateFile: template("drill.yaml"),
      // Drills of several policies share a stack here, so that logical ids have to differ.
      preserveLogicalIds: false,
      parameters: {
        PolicyId: matching("policyId", props.policyId, POLICY_ID, "1 to 64 letters, digits, _ . -"),
        HostInstanceId: matching("hostInstanceId", props.hostInstanceId, HOST, "an id such as i-0123456789abcdef0"),
        ScheduleExpression: matching("cron", props.cron ?? "cron(0 6 ? * SUN *)", CRON, "cron(...) with six fields"),
        TimeZone: matching("timeZone", props.timeZone ?? "UTC", TIME_ZONE, "a name such as Europe/Berlin"),
        Document: "Stillpoint-Drill",
        DocumentParameters: documentParameters(props.checks ?? {}),
        TimeoutSeconds: within("timeout", timeout, 60, 28_800),
      },
    });
    const { stillpoint } = props;
    if (stillpoint === undefined) return;
    if (stillpoint.stack !== Stack.of(this)) this.node.addDependency(stillpoint);
    else referSchedulesTo(stillpoint, this.template, "Restorer", "EventsDeadQueue");
  }
}

/** The document's own parameters. */
function documentParameters({ mounts, ...texts }: DrillChecks): string {
  const mounted = Object.entries(mounts ?? {}).map(([device, path]) => `${device}:${path}`);
  const parameters = { ...texts, ...(mounted.length > 0 ? { mounts: mounted.join(",") } : {}) };
  for (const [name, value] of Object.entries(parameters)) {
    matching(`checks.${name}`, value, TEXT, "a text without double quotes, backslashes and line ends");
  }
  const text = JSON.stringify(parameters);
  within("checks: their length", text.length, 0, PARAMETERS_CHARS_MAX);
  return text;
}
