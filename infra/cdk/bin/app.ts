// The smallest app: `npm run build`, then `npx cdk synth` or `npx cdk deploy --all`.
import { App, Stack } from "aws-cdk-lib";
import { SnapshotPolicy, Stillpoint } from "../src";

const app = new App();
new Stillpoint(new Stack(app, "stillpoint"), "Stillpoint");
new SnapshotPolicy(new Stack(app, "stillpoint-policies"), "nightly");
