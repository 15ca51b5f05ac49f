import { Stack } from "aws-cdk-lib";
import { ITable, Table } from "aws-cdk-lib/aws-dynamodb";
import { EventBus, IEventBus } from "aws-cdk-lib/aws-events";
import { Architecture, Code, Function, IFunction } from "aws-cdk-lib/aws-lambda";
import { RetentionDays } from "aws-cdk-lib/aws-logs";
import { ITopic, Topic } from "aws-cdk-lib/aws-sns";
import { CfnInclude } from "aws-cdk-lib/cloudformation-include";
import { Construct } from "constructs";
import { acknowledge } from "./findings";
import { functionsZip, template } from "./templates";

/** What can be chosen for one account and Region. Everything has a default. */
export interface StillpointProps {
  /**
   * The functions' zip file, which holds one executable named bootstrap.
   * @default the one that `make package` put beside this library
   */
  readonly code?: Code;
  /**
   * What the executable was built for.
   * @default Architecture.ARM_64
   */
  readonly architecture?: Architecture;
  /**
   * How long the functions' logs are kept.
   * @default RetentionDays.THREE_MONTHS
   */
  readonly logRetention?: RetentionDays;
  /**
   * Who gets alarms by mail; AWS asks the address to confirm first.
   * @default nobody, until something subscribes to `alarms`
   */
  readonly alarmEmail?: string;
  /**
   * A central bus that gets a copy of every finished run's event.
   * @default events stay in this account and Region
   */
  readonly hub?: IEventBus;
}

/**
 * Stillpoint in one account and Region: once each, in a stack of its own or with others.
 *
 * ```ts
 * new Stillpoint(this, "Stillpoint");
 * ```
 */
export class Stillpoint extends Construct {
  /** The included template; its resources can be reached by their logical ids. */
  readonly template: CfnInclude;
  /** `Snapshot Run Requested` and `Snapshot Run Finished`. */
  readonly bus: IEventBus;
  /** Every alarm goes here. */
  readonly alarms: ITopic;
  /** Invoke it to plan or run by hand. */
  readonly planner: IFunction;
  /** One item a run. */
  readonly ledger: ITable;

  constructor(scope: Construct, id: string, props: StillpointProps = {}) {
    super(scope, id);
    const architecture = props.architecture ?? Architecture.ARM_64;
    const code = props.code ?? Code.fromAsset(functionsZip(architecture.name));
    const { s3Location } = code.bind(this);
    if (s3Location === undefined) {
      throw new Error("code: a zip file is needed, in S3 or as an asset; neither inline nor an image");
    }
    if (props.logRetention === RetentionDays.INFINITE) {
      throw new Error("logRetention: found INFINITE, allowed a number of days: logs would grow for ever");
    }
    this.template = new CfnInclude(this, "Template", {
      templateFile: template("template.yaml"),
      parameters: {
        CodeBucket: s3Location.bucketName,
        CodeKey: s3Location.objectKey,
        Architecture: architecture.name,
        LogRetentionDays: props.logRetention ?? RetentionDays.THREE_MONTHS,
        // Left to the template's defaults when they are not chosen, and to `cdk deploy --parameters`.
        ...(props.alarmEmail === undefined ? {} : { AlarmEmail: props.alarmEmail }),
        ...(props.hub === undefined ? {} : { HubBusArn: props.hub.eventBusArn }),
      },
    });
    const name = (logicalId: string) => this.template.getResource(logicalId).ref;
    this.bus = EventBus.fromEventBusName(this, "Bus", name("Bus"));
    this.alarms = Topic.fromTopicArn(this, "Alarms", name("AlarmTopic"));
    const functionArn = this.template.getResource("Planner").getAtt("Arn").toString();
    this.planner = Function.fromFunctionAttributes(this, "Planner", { functionArn, sameEnvironment: true });
    this.ledger = Table.fromTableName(this, "Ledger", name("Ledger"));
    acknowledge(this.template);
  }

  /** The stack it is in. */
  get stack(): Stack {
    return Stack.of(this);
  }
}
