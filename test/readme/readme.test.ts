import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../package/packed.ts';
import { runCommands, runModule, runnable } from './run-snippet.ts';
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

describe('README.md', () => {
  const snippets = snippetsOf(read('README.md'));

  it('shows how to embed the core in fewer than fifteen lines', () => {
    const embedding = snippets.find(({ text }) => text.includes('iommu.attach('));
    expect(embedding).toBeDefined();
    expect(embedding!.text.split('\n').filter((line) => line.trim() !== '').length).toBeLessThan(15);
  });

  it.each(
    snippets.map((snippet) => ({
      ...snippet,
      shown: isShell(snippet) ? commandsOf(snippet).map(runnable).find(Boolean) : snippet.language,
    })),
  )(
    'line $line works: $shown',
    (snippet) => {
      expect(() => runSnippet(snippet, 'README.md')).not.toThrow();
    },
    300_000,
  );
});
