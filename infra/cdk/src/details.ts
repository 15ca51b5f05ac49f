import { within } from "./bounds";

/** The part of DLM's PolicyDetails that `SnapshotPolicy` writes; DLM's names and meanings. */
export interface PolicyDetails {
  readonly PolicyType: "EBS_SNAPSHOT_MANAGEMENT";
  readonly ResourceTypes: readonly ["INSTANCE"];
  readonly TargetTags: readonly Tag[];
  readonly Parameters?: { readonly ExcludeBootVolume?: boolean };
  readonly Schedules: readonly Schedule[];
}

/** A tag. */
export interface Tag {
  readonly Key: string;
  readonly Value: string;
}

/** One schedule of a policy. */
export interface Schedule {
  readonly Name: string;
  readonly CopyTags: boolean;
  readonly TagsToAdd?: readonly Tag[];
  readonly CreateRule: { readonly CronExpression: string; readonly Scripts: readonly Script[] };
  readonly RetainRule: RetainRule;
}

/** The pre- and post-script of a schedule. */
export interface Script {
  readonly ExecutionHandler: string;
  readonly ExecutionTimeout: number;
  readonly MaximumRetryCount: number;
  readonly ExecuteOperationOnScriptFailure: boolean;
}

/** How many sets, or for how long. */
export type RetainRule =
  | { readonly Count: number }
  | { readonly Interval: number; readonly IntervalUnit: "DAYS" | "WEEKS" | "MONTHS" | "YEARS" };

/** What quiesces an instance: the SSM document that runs before and after CreateSnapshots. */
export class Application {
  /** Filesystems alone. */
  static readonly FILESYSTEM = Application.stillpoint("Stillpoint-Filesystem");
  /** Every running PostgreSQL cluster, then the filesystems. */
  static readonly POSTGRESQL = Application.stillpoint("Stillpoint-PostgreSQL");

  /**
   * A document of your own or of somebody else: its name, or its ARN when it is shared. It has to carry
   * the tag DLMScriptsAccess=true, and it gives no receipts: its sets are at best `claimed`.
   */
  static document(name: string): Application {
    return new Application(name, false);
  }

  private static stillpoint(name: string): Application {
    return new Application(name, true);
  }

  private constructor(
    readonly documentName: string,
    /** Whether its sets can be proven. */
    readonly givesReceipts: boolean,
  ) {}
}

/** How long snapshots are kept. */
export class Retention {
  /** So many sets of each instance; 1 to 1000. */
  static sets(count: number): Retention {
    return new Retention({ Count: within("retain", count, 1, 1000) });
  }

  /** So many days; up to 36500. */
  static days(days: number): Retention {
    return new Retention({ Interval: within("retain", days, 1, 36500), IntervalUnit: "DAYS" });
  }

  private constructor(readonly rule: RetainRule) {}
}
