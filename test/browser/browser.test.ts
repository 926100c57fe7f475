import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CONSUMER_SCRIPT, SCRIPT_RESULT } from '../package/consumer.ts';
import { pack, type Packed } from '../package/packed.ts';
import { CHROMIUM_MISSING, findChromium } from './chromium.ts';
import { countPixels } from './count-pixels.ts';
import { launch } from './launch.ts';
import { bytesModule, runInPage } from './run-in-page.ts';
import { STRICT_POLICY, serve } from './serve.ts';

const chromium = findChromium();

describe('the browser tests', () => {
  it('have a Chromium', ({ skip }) => {
    if (chromium === undefined && process.env.CI_BROWSER !== 'required') {
      // The reporter does not say why a test was skipped.
      process.stderr.write(`skipped: test/browser ${CHROMIUM_MISSING}\n`);
      skip(CHROMIUM_MISSING);
    }
    expect(chromium, CHROMIUM_MISSING).toBeDefined();
  });
});

if (chromium !== undefined) describe('the standalone file on a plain page', () => testInBrowser(chromium));

function testInBrowser(executable: string): void {
  let browser: Browser;
  let packed: Packed;
  let files: Record<string, Uint8Array>;

  beforeAll(async () => {
    packed = pack();
    files = { '/standalone.js': readFileSync(join(packed.installed, 'dist', 'standalone.js')) };
    browser = await launch(executable);
  });
  afterAll(async () => {
    await browser?.close();
    packed?.remove();
  });

  it('tracks dirty pages under the strict policy, with the same result as in Node', async () => {
    const script = CONSUMER_SCRIPT.replace("'wasm-iommu'", "'/standalone.js'") + 'export default () => result;';
    expect(await runInPage<string>(browser, { script, files })).toBe(SCRIPT_RESULT);
  });

  it('compares the bundled recording to the same bytes as Node', async () => {
    const traces = join(packed.installed, 'examples', 'traces');
    const part = (ending: string) => bytesModule(readFileSync(join(traces, `v86-debian.${ending}`)));
    const script = `import { compare, openTrace, toJson } from '/standalone.js';
      import trace from '/trace.js';
      import meta from '/meta.js';
      import cpuDirty from '/cpu-dirty.js';
      export default async () => {
        const name = 'v86-debian.dma.bin.gz';
        const recording = await openTrace(new Blob([trace]), { name, meta: new Blob([meta]), cpuDirty: new Blob([cpuDirty]) });
        return [
          toJson(await compare(recording, { phase: 'odirect-loop-3s' })),
          toJson(await compare(recording, { windowNs: 100e6 })),
        ];
      };`;
    const recording = {
      '/trace.js': part('dma.bin.gz'),
      '/meta.js': part('meta.json'),
      '/cpu-dirty.js': part('cpu-dirty.bin.gz'),
    };
    const [migration, windows] = await runInPage<string[]>(browser, { script, files: { ...files, ...recording } });
    const golden = (name: string) => readFileSync(new URL(`../golden/${name}`, import.meta.url), 'utf8');
    expect(migration === golden('compare.json')).toBe(true);
    expect(windows === golden('windows.json')).toBe(true);
  });

  it('works in a page’s own memory', async () => {
    const script = `import { open } from '/standalone.js';
      export default async () => {
        const memory = new WebAssembly.Memory({ initial: 64 });
        const core = await open({ memory, base: 0x10000, size: 0x100000 });
        const bitmap = core.bitmap({ length: 0x100000 });
        bitmap.mark(0x5000, 1);
        const outside = new Uint8Array(memory.buffer).subarray(0, 0x10000).some((byte) => byte !== 0);
        return { runs: [...bitmap.runs()], outside };
      };`;
    expect(await runInPage(browser, { script, files })).toEqual({
      runs: [{ start: 0x5000, length: 4096 }],
      outside: false,
    });
  });

  it('is run under a policy that is in force', async () => {
    const script = `export default () => (0, eval)('1');`;
    await expect(runInPage(browser, { script, files })).rejects.toThrow(/broke its policy: script-src.* eval/);
  });

  it('draws the heat map of examples/page/ in the colours of its devices', async () => {
    const server = await serve({
      files: {},
      folder: packed.installed,
      policy: `${STRICT_POLICY}; style-src 'self'`,
    });
    const page = await browser.newPage();
    const complaints: string[] = [];
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(error.message));
    try {
      await page.goto(`${server.origin}/examples/page/index.html`);
      expect(await countPixels(page, '#map')).toEqual(new Map());
      await page.click('#start');
      // On a busy machine more rounds may pass between two looks.
      await page.getByText(/round ([3-9]|\d\d+):/).waitFor();
      await page.click('#stop');
      const status = await page.textContent('#status');
      const legend = (await page.locator('#legend li').allTextContents()).join(' ');
      const pixels = await countPixels(page, '#map');
      const { PAGE_SCREENSHOT: path } = process.env;
      if (path) await page.screenshot({ path });

      const dirty = [...legend.matchAll(/(nic|disk|gpu): (\d+) pages/g)].map(([, name, pages]) => [
        name,
        Number(pages),
      ]);
      expect(dirty.map(([name]) => name)).toEqual(['nic', 'disk', 'gpu']);
      const total = dirty.reduce((sum, [, pages]) => sum + Number(pages), 0);
      expect(status).toMatch(new RegExp(`^round \\d+: ${total} dirty pages$`));
      // What was written in the last round is drawn in full: 5 x 11 pixels a page.
      const colours: Record<string, string> = { nic: '86,180,233', disk: '230,159,0', gpu: '0,190,140' };
      for (const [name, pages] of dirty) expect(pixels.get(colours[name])).toBe(Number(pages) * 55);
      expect(complaints).toEqual([]);
    } finally {
      await page.close();
      await server.close();
    }
  });
}
