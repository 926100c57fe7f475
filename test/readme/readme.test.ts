import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../package/packed.ts';
import { asShown, direct, runCommands, runModule, runnable } from './run-snippet.ts';
import { commandsOf, snippetsOf, type Snippet } from './snippets.ts';

const SAMPLE = 'test/readme/sample.md';
const read = (name: string) => readFileSync(join(ROOT, name), 'utf8');

const isShell = ({ language }: Snippet) => /^(sh|bash|shell|console)$/.test(language);

function runSnippet(snippet: Snippet, name: string): string | undefined {
  if (/^(ts|js|typescript|javascript)$/.test(snippet.language)) return runModule(snippet, name);
  if (isShell(snippet)) return runCommands(snippet, name);
  return undefined;
}

describe('the snippets of a text', () => {
  it('are found with their language and line', () => {
    const found = snippetsOf(read(SAMPLE)).map(({ language, line }) => [language, line]);
    expect(found).toEqual([
      ['ts', 3],
      ['js', 11],
      ['sh', 16],
      ['json', 24],
    ]);
  });

  it('must be closed', () => {
    expect(() => snippetsOf('a\n```sh\necho\n')).toThrow('line 2');
  });

  it('run, with their types taken off and the package found by its name', () => {
    const outputs = snippetsOf(read(SAMPLE)).map((snippet) => runSnippet(snippet, SAMPLE));
    expect(outputs).toEqual(['bytes 1048576\n', '3\n', 'after\none two\n', undefined]);
  });

  it('fail where they do not work, and say where', () => {
    const snippet = (language: string, text: string) => ({ language, text, line: 7 });
    expect(() => runSnippet(snippet('js', `import { nothing } from 'wasm-iommu';\n`), 'x.md')).toThrow(/^x\.md:7: /);
    expect(() => runSnippet(snippet('ts', 'const = 1;\n'), 'x.md')).toThrow();
    expect(() => runSnippet(snippet('sh', 'true\nfalse\n'), 'x.md')).toThrow('x.md:7: false: ended with 1');
  });

  it('leave out what would install packages or run the tests, and nothing else', () => {
    const commands = [
      'npm ci && npm start',
      'npm test',
      'npm ci',
      'bash .ci/run',
      'npm run build',
      'node examples/node.mjs',
    ];
    expect(commands.map(runnable)).toEqual([
      'npm start',
      undefined,
      undefined,
      undefined,
      undefined,
      'node examples/node.mjs',
    ]);
  });
});

describe('a command', () => {
  it.each([
    ['npx wasm-iommu trackers', 'node dist/src/cli/main.js trackers'],
    ['npx wasm-iommus trackers', 'npx wasm-iommus trackers'],
    ['npx --yes wasm-iommu trackers', 'npx --yes wasm-iommu trackers'],
    ['npm start', 'npm start'],
  ])('%s is run as %s', (command, run) => {
    expect(direct(command)).toBe(run);
  });
});

/** What snippets say in their comments that they print, by something that only one of them has. */
const PRINTS: Readonly<Record<string, string>> = {
  'fd.hwptGetDirtyBitmap(': '100000\n',
  'fd.ioctl(': '-95\n0 1\n',
  'container.dirtyPages(': '11111111 11111111\n11111111 100000\n',
  'new GuestPageTable(': 'true\n-1 translation 1\n',
  'domain.splitSteps(': 'bbm 2\nnt 0\ndirect2 0\n',
  "'skip-flush-after-clear'": `strict 1 1\nstrict 2 1\n[ 'skip-flush-after-clear' ] 1 1\n[ 'skip-flush-after-clear' ] 2 0\n`,
  'iommu.resume(': 'translation 16384\n0 1\n',
};

describe('README.md', () => {
  const snippets = snippetsOf(read('README.md'));

  it('shows how to embed the core in fewer than fifteen lines', () => {
    const embedding = snippets.find(({ text }) => text.includes('iommu.attach('));
    expect(embedding).toBeDefined();
    expect(embedding!.text.split('\n').filter((line) => line.trim() !== '').length).toBeLessThan(15);
  });

  it('has a snippet for each output that is known', () => {
    const found = Object.keys(PRINTS).map((part) => snippets.filter(({ text }) => text.includes(part)).length);
    expect(found).toEqual(Object.keys(PRINTS).map(() => 1));
  });

  it('shows commands that npx starts, and it starts what the tests below start without it', () => {
    const found = snippets.filter(isShell).find(({ text }) => text.startsWith('npx wasm-iommu compare '))!;
    const first = { ...found, text: `${commandsOf(found).find((command) => command.endsWith(' --help'))}\n` };
    expect(runCommands(first, 'README.md', asShown)).toBe(runCommands(first, 'README.md'));
  });

  it.each(
    snippets.map((snippet) => ({
      ...snippet,
      shown: isShell(snippet) ? commandsOf(snippet).map(runnable).find(Boolean) : snippet.language,
    })),
  )(
    'line $line works: $shown',
    (snippet) => {
      const printed = runSnippet(snippet, 'README.md');
      const said = Object.entries(PRINTS).find(([part]) => !isShell(snippet) && snippet.text.includes(part));
      if (said) expect(printed).toBe(said[1]);
    },
    300_000,
  );
});
