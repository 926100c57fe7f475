import type { Browser } from 'playwright-core';
import { serve } from './serve.ts';

/** What runs in the page. */
export interface PageRun {
  /**
   * Text of an ES module whose default export is a function, possibly async; what it returns must be JSON. It may import any
   * of `files`.
   */
  readonly script: string;
  /** Files beside it, by path (`/standalone.js`). */
  readonly files: Readonly<Record<string, string | Uint8Array>>;
}

const PAGE = `<!doctype html><meta charset="utf-8"><title>run</title><script type="module" src="/main.js"></script>`;
const MAIN = `
const violations = [];
addEventListener('securitypolicyviolation', ({ effectiveDirective, blockedURI }) => {
  violations.push(effectiveDirective + ' ' + blockedURI);
});
async function run() {
  const { default: script } = await import('/script.js');
  return await script();
}
globalThis.outcome = run()
  .then((value) => ({ value }), (error) => ({ error: String(error?.stack ?? error) }))
  // Violations are told in a task of their own.
  .then((outcome) => new Promise((resolve) => setTimeout(() => resolve({ ...outcome, violations }))));
`;

interface Outcome<T> {
  readonly value?: T;
  readonly error?: string;
  readonly violations: readonly string[];
}

/** A module whose default export is these bytes: a page under the strict policy has no `fetch`. */
export function bytesModule(bytes: Uint8Array): string {
  const text = JSON.stringify(Buffer.from(bytes).toString('base64'));
  return `export default Uint8Array.from(atob(${text}), (char) => char.charCodeAt(0));\n`;
}

/**
 * Runs a module in a plain page under STRICT_POLICY and returns what its default export returned. Throws what it threw, and
 * where the page broke the policy.
 */
export async function runInPage<T>(browser: Browser, { script, files }: PageRun): Promise<T> {
  const server = await serve({ files: { ...files, '/index.html': PAGE, '/main.js': MAIN, '/script.js': script } });
  const page = await browser.newPage();
  try {
    await page.goto(`${server.origin}/index.html`, { waitUntil: 'load' });
    const outcome = await page.evaluate(() => (globalThis as unknown as { outcome?: Promise<unknown> }).outcome);
    if (outcome === undefined) throw new Error('the page did not run its script');
    const { value, error, violations } = outcome as Outcome<T>;
    if (violations.length > 0) throw new Error(`the page broke its policy: ${violations.join(', ')}`);
    if (error !== undefined) throw new Error(`in the page: ${error}`);
    return value as T;
  } finally {
    await page.close();
    await server.close();
  }
}
