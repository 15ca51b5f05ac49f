import { existsSync } from "node:fs";
import { join } from "node:path";

/** The library's root: this file is dist/src/templates.js. */
const ROOT = join(__dirname, "..", "..");

/** The CloudFormation template of this name, copied beside the library by its build. */
export function template(name: "template.yaml" | "policy.yaml" | "drill.yaml"): string {
  return join(ROOT, "templates", name);
}

/** The functions' package for an architecture, put beside the library by `make package`. */
export function functionsZip(architecture: string): string {
  const path = join(ROOT, `functions-${architecture}.zip`);
  if (!existsSync(path)) {
    throw new Error(
      `code: there is no ${path}; give the zip file of the functions (make package makes it), ` +
        `such as lambda.Code.fromAsset("target/package/functions-${architecture}.zip")`,
    );
  }
  return path;
}
