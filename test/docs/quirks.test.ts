import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { QUIRKS, type QuirkInfo } from '../../src/iommu/quirks.ts';
import { IOMMUFD_QUIRKS } from '../../src/iommufd/quirks.ts';
import { TYPE1_QUIRKS } from '../../src/type1/quirks.ts';
import type { LinuxQuirk } from '../../src/uapi/linux-quirk.ts';
import { VFIO_QUIRKS } from '../../src/vfio/quirks.ts';

/** A Markdown table, not aligned. */
function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [head, head.map(() => '---'), ...rows].map(line).join('\n');
}

function linuxTable(rows: readonly LinuxQuirk[]): string {
  const head = ['Quirk', '`strict`', '`linux-6.12`', 'Test'];
  return tableOf(
    head,
    rows.map((row) => [row.name, row.strict, row['linux-6.12'], row.test]),
  );
}

function iommuTable(rows: readonly QuirkInfo[]): string {
  const head = ['Quirk', 'What happens', 'What it loses', 'In `linux-6.12`'];
  return tableOf(
    head,
    rows.map(({ name, what, loses, linux }) => [`\`${name}\``, what, loses, linux.join(', ') || 'no format']),
  );
}

const SECTIONS = [
  ['IOMMU', iommuTable(QUIRKS)],
  ['iommufd', linuxTable(IOMMUFD_QUIRKS)],
  ['type1', linuxTable(TYPE1_QUIRKS)],
  ['VFIO devices', linuxTable(VFIO_QUIRKS)],
] as const;

/** The table under a heading, without what a formatter adds to it. */
function tableIn(document: string, heading: string): string {
  const section = document.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? '';
  return section
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) => line.replace(/\s+/g, ' ').replace(/-{4,}/g, '---').trim())
    .join('\n');
}

const DOCUMENT = new URL('../../docs/quirks.md', import.meta.url);

/** With UPDATE_DOCS in the environment the tables are written anew, for a formatter to align. */
function update(document: string): string {
  return SECTIONS.reduce(
    (text, [heading, table]) =>
      text.replace(
        new RegExp(`(^## ${heading}\\n[^|]*)(?:\\|[^\\n]*\\n)+`, 'm'),
        (_, head: string) => `${head}${table}\n`,
      ),
    document,
  );
}

describe('docs/quirks.md', () => {
  if (process.env.UPDATE_DOCS) writeFileSync(DOCUMENT, update(readFileSync(DOCUMENT, 'utf8')));
  const document = readFileSync(DOCUMENT, 'utf8');

  it.each(SECTIONS)('has the table of %s', (heading, table) => {
    expect(tableIn(document, heading)).toBe(table);
  });

  it('names tests that there are', () => {
    const tests = [...document.matchAll(/^Tests: `(.*)`\.$/gm)].map(([, path]) => path);
    const missing = tests.filter((path) => !existsSync(new URL(`../../${path}`, import.meta.url)));
    expect([tests.length, missing]).toEqual([SECTIONS.length, []]);
  });
});
