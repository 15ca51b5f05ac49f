// What the tests share: the templates as plain values, and a synthesized app.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { App, Stack } from "aws-cdk-lib";
import { Template } from "aws-cdk-lib/assertions";
import { Bucket } from "aws-cdk-lib/aws-s3";
import { Code } from "aws-cdk-lib/aws-lambda";
import { CfnInclude } from "aws-cdk-lib/cloudformation-include";
import { Stillpoint, StillpointProps } from "../src";

export const TEMPLATES = join(__dirname, "..", "..", "templates");

export type Json = Record<string, any>;

/** A template of infra/ as CDK reads it, with nothing chosen. */
export function raw(name: string): Json {
  const stack = new Stack(new App(), "raw");
  new CfnInclude(stack, "Raw", { templateFile: join(TEMPLATES, name) });
  return Template.fromStack(stack).toJSON();
}

/** The text of a template. */
export function text(name: string): string {
  return readFileSync(join(TEMPLATES, name), "utf8");
}

/** The resources under a template's own logical ids, without what CDK puts around those of the construct `id`. */
export function own(template: Json, id: string): Json {
  const around = new RegExp(`^${id}Template(?:Conditions)?(\\w+?)[0-9A-F]{8}$`);
  const original = (name: string) => name.replace(around, "$1");
  const rename = (value: any): any => {
    if (Array.isArray(value)) return value.map(rename);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(
      Object.entries<any>(value).map(([key, one]) => {
        if (key === "Ref" || key === "Condition") return [key, original(one)];
        if (key === "DependsOn") return [key, [one].flat().map(original)];
        if (key === "Fn::Sub") return [key, one.replace(/\$\{(\w+)\}/g, (_: string, name: string) => `\${${original(name)}}`)];
        return [original(key), rename(one)];
      }),
    );
  };
  return { Resources: rename(template["Resources"]), Conditions: rename(template["Conditions"] ?? {}) };
}

/** A copy in which each reference to a parameter is the parameter's value. */
export function substitute(value: any, parameters: Json): any {
  if (Array.isArray(value)) return value.map((one) => substitute(one, parameters));
  if (value === null || typeof value !== "object") return value;
  const keys = Object.keys(value);
  if (keys.length === 1 && keys[0] === "Ref" && value.Ref in parameters) return parameters[value.Ref];
  if (keys.length === 1 && keys[0] === "Fn::Sub" && typeof value["Fn::Sub"] === "string") {
    const filled = value["Fn::Sub"].replace(/\$\{(\w+)\}/g, (whole: string, name: string) =>
      name in parameters ? String(parameters[name]) : whole,
    );
    return { "Fn::Sub": filled };
  }
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, substitute(one, parameters)]));
}

/** A stack with Stillpoint in it, whose code is in a bucket. */
export function withStillpoint(props: StillpointProps = {}): { app: App; stack: Stack; stillpoint: Stillpoint } {
  const app = new App();
  const stack = new Stack(app, "stillpoint");
  const code = Code.fromBucket(Bucket.fromBucketName(stack, "CodeBucket", "code-bucket"), "functions.zip");
  return { app, stack, stillpoint: new Stillpoint(stack, "Stillpoint", { code, ...props }) };
}
