const SOAK = Number(process.env.SOAK) || 1;

/** How often a property runs: `usual` times, or that many times SOAK (an environment variable) in the long form. */
export function runs(usual: number): number {
  return Math.max(1, Math.floor(usual * SOAK));
}
