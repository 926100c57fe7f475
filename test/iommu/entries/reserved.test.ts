import { describe, expect, it } from 'vitest';
import { decodeEntry } from '../../../src/iommu/entries/decode.ts';
import type { PlaceOptions } from '../../../src/iommu/entries/registry.ts';
import { hex } from '../../../src/wasm/address.ts';

interface Case {
  readonly format: string;
  readonly what: string;
  /** An entry of that kind with nothing reserved in it. */
  readonly base: bigint;
  readonly at: PlaceOptions;
  /** What the specification reserves, and what it leaves to software. */
  readonly reserved: bigint;
  readonly ignored: bigint;
}

/** Written down from the formats' specifications, bit by bit. */
const CASES: readonly Case[] = [
  {
    format: 'amdv1',
    what: 'leaf',
    base: 1n,
    at: { level: 0 },
    reserved: 0x07f0n << 48n,
    ignored: (1n << 63n) | 0x19en,
  },
  {
    ...{ format: 'amdv1', what: 'table', base: 0x201n, at: { level: 1 } },
    ...{ reserved: 0x07f0n << 48n, ignored: (1n << 63n) | 0x1den },
  },
  {
    format: 'vtdss',
    what: '4 KiB',
    base: 1n,
    at: { level: 0 },
    reserved: (1n << 62n) | 0x80n,
    ignored: (0xbff0n << 48n) | 0x400n,
  },
  {
    ...{ format: 'vtdss', what: '2 MiB', base: 0x81n, at: { level: 1 } },
    ...{ reserved: (1n << 62n) | 0x1f_f000n, ignored: (0xbff0n << 48n) | 0x400n },
  },
  {
    ...{ format: 'vtdss', what: '1 GiB', base: 0x81n, at: { level: 2 } },
    ...{ reserved: (1n << 62n) | 0x3fff_f000n, ignored: (0xbff0n << 48n) | 0x400n },
  },
  {
    ...{ format: 'vtdss', what: 'table of level 1', base: 1n, at: { level: 1 } },
    ...{ reserved: (1n << 62n) | 0x800n, ignored: (0xbff0n << 48n) | 0x678n },
  },
  {
    ...{ format: 'vtdss', what: 'table of level 3', base: 1n, at: { level: 3 } },
    ...{ reserved: (1n << 62n) | 0x880n, ignored: (0xbff0n << 48n) | 0x678n },
  },
  { format: 'x86_64', what: '4 KiB', base: 1n, at: { level: 0 }, reserved: 0n, ignored: (0x7ff0n << 48n) | 0xe00n },
  {
    ...{ format: 'x86_64', what: '2 MiB', base: 0x81n, at: { level: 1 } },
    ...{ reserved: 0x1f_e000n, ignored: (0x7ff0n << 48n) | 0xe00n },
  },
  {
    ...{ format: 'x86_64', what: '1 GiB', base: 0x81n, at: { level: 2 } },
    ...{ reserved: 0x3fff_e000n, ignored: (0x7ff0n << 48n) | 0xe00n },
  },
  { format: 'x86_64', what: 'table', base: 1n, at: { level: 2 }, reserved: 0n, ignored: (0x7ff0n << 48n) | 0xf40n },
  {
    format: 'x86_64',
    what: 'table of level 4',
    base: 1n,
    at: { level: 4 },
    reserved: 0x80n,
    ignored: (0x7ff0n << 48n) | 0xf40n,
  },
  { format: 'armv8-s1', what: 'page', base: 3n, at: { level: 0 }, reserved: 7n << 48n, ignored: 1n << 63n },
  {
    ...{ format: 'armv8-s1', what: '2 MiB', base: 1n, at: { level: 1 } },
    ...{ reserved: (7n << 48n) | 0x1e_f000n, ignored: 1n << 63n },
  },
  {
    ...{ format: 'armv8-s1', what: '1 GiB', base: 1n, at: { level: 2 } },
    ...{ reserved: (7n << 48n) | 0x3ffe_f000n, ignored: 1n << 63n },
  },
  {
    format: 'armv8-s1',
    what: 'table',
    base: 3n,
    at: { level: 1 },
    reserved: 7n << 48n,
    ignored: (0xffn << 51n) | 0xffcn,
  },
  {
    ...{ format: 'armv8-s1', what: 'page of 16 KiB', base: 3n, at: { level: 0, granule: '16K' } },
    ...{ reserved: (7n << 48n) | 0x3000n, ignored: 1n << 63n },
  },
  {
    ...{ format: 'armv8-s1', what: 'page of 64 KiB', base: 3n, at: { level: 0, granule: '64K' } },
    ...{ reserved: 7n << 48n, ignored: 1n << 63n },
  },
  {
    ...{
      format: 'armv8-s1',
      what: 'page of 64 KiB, 48 bits',
      base: 3n,
      at: { level: 0, granule: '64K', outputBits: 48 },
    },
    ...{ reserved: (7n << 48n) | 0xf000n, ignored: 1n << 63n },
  },
  {
    ...{ format: 'armv8-s1', what: '512 MiB', base: 1n, at: { level: 1, granule: '64K' } },
    ...{ reserved: (7n << 48n) | 0x1ffe_0000n, ignored: 1n << 63n },
  },
  { format: 'armv8-s2', what: 'page', base: 3n, at: { level: 0 }, reserved: (7n << 48n) | 0x800n, ignored: 1n << 63n },
  {
    ...{ format: 'armv8-s2', what: '2 MiB', base: 1n, at: { level: 1 } },
    ...{ reserved: (7n << 48n) | 0x1e_f800n, ignored: 1n << 63n },
  },
  {
    ...{ format: 'armv8-s2', what: 'table', base: 3n, at: { level: 1 } },
    ...{ reserved: (0x1fn << 59n) | (7n << 48n), ignored: (0xffn << 51n) | 0xffcn },
  },
  { format: 'riscv', what: 'leaf', base: 3n, at: { level: 0 }, reserved: 0x7fn << 54n, ignored: 0n },
  { format: 'riscv', what: 'table', base: 1n, at: { level: 1 }, reserved: (0x3ffn << 54n) | 0xd0n, ignored: 0n },
  { format: 'mock2k', what: '2 KiB', base: 3n, at: { level: 0 }, reserved: (0xfffn << 52n) | 0x7f0n, ignored: 0n },
  { format: 'mock2k', what: '1 MiB', base: 3n, at: { level: 1 }, reserved: (0xfffn << 52n) | 0xf_ffe0n, ignored: 0n },
  { format: 'mock2k', what: 'table', base: 0x13n, at: { level: 1 }, reserved: (0xfffn << 52n) | 0xfe8n, ignored: 0n },
  {
    ...{ format: 'amdv1', what: 'leaf, 40 bits', base: 1n, at: { level: 0, outputBits: 40 } },
    ...{ reserved: 0x07ff_ff00_0000_0000n, ignored: (1n << 63n) | 0x19en },
  },
  {
    ...{ format: 'riscv', what: 'leaf, 40 bits', base: 3n, at: { level: 0, outputBits: 40 } },
    ...{ reserved: (0x7fn << 54n) | (0xffffn << 38n), ignored: 0n },
  },
];

describe('bits without a field', () => {
  it.each(CASES)(
    '$format $what: those that are set are found, one by one',
    ({ format, base, at, reserved, ignored }) => {
      let foundReserved = 0n;
      let foundIgnored = 0n;
      for (let bit = 0n; bit < 64n; bit++) {
        const decoded = decodeEntry(format, base | (1n << bit), at);
        foundReserved |= decoded.reserved;
        foundIgnored |= decoded.ignored;
      }
      expect([hex(foundReserved), hex(foundIgnored)]).toEqual([hex(reserved), hex(ignored)]);
    },
  );
});
