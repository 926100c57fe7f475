/** A place where Linux does what a clean model of an interface would not repeat. */
export interface LinuxQuirk {
  readonly name: string;
  /** What `quirks: 'strict'` does. */
  readonly strict: string;
  /** What `quirks: 'linux-6.12'` does. */
  readonly 'linux-6.12': string;
  /** The test that shows both, in test/<room>/quirks.test.ts. */
  readonly test: string;
}
