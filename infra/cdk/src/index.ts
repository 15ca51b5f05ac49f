/**
 * Stillpoint as CDK constructs. They include the CloudFormation templates of this repository as
 * they are, so that what CDK deploys is what CloudFormation deploys; a test compares them.
 */
export * from "./details";
export * from "./restore-drill";
export * from "./snapshot-policy";
export * from "./stillpoint";
