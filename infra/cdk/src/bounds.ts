/** What the properties of several constructs may be; an error names the property. */
export const CRON = /^cron\([^\n]{11,100}\)$/;
export const POLICY_ID = /^[0-9A-Za-z_.-]{1,64}$/;

/** A whole number within bounds. */
export function within(property: string, value: number, least: number, most: number): number {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new Error(`${property}: found ${value}, allowed a whole number from ${least} to ${most}`);
  }
  return value;
}

/** A text of this form. */
export function matching(property: string, value: string, pattern: RegExp, allowed: string): string {
  if (!pattern.test(value)) throw new Error(`${property}: found ${JSON.stringify(value)}, allowed ${allowed}`);
  return value;
}
