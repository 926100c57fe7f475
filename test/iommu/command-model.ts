import type { DomainModel } from './iotlb-model.ts';

/** What one invalidation of a range does: how many commands it is, and what hardware drops for them. */
export interface Command {
  readonly commands: number;
  /** By tag and address, by ASID without global leaves, or by VMID. */
  readonly form: 'range' | 'asid' | 'domain';
  readonly first: number;
  readonly last: number;
  /** Whether leaves of `size` bytes are among what it drops. */
  readonly takes: (size: number) => boolean;
  readonly keepsTables: boolean;
}

/** How the driver asks. */
export interface How {
  readonly leafOnly?: boolean;
  readonly leafSize?: number | undefined;
}

export type Encoder = (domain: DomainModel, first: number, last: number, how: How) => Command;

const PAGE = 4096;
const MIB = 2 ** 20;

/** What overlaps, in one command. */
export const exact: Encoder = (_domain, first, last, { leafOnly = false }) => ({
  commands: 1,
  form: 'range',
  first,
  last,
  takes: () => true,
  keepsTables: leafOnly,
});

function everything(domain: DomainModel): Command {
  const form = domain.asid !== 0 && !domain.globals ? 'asid' : 'domain';
  return { commands: 1, form, first: 0, last: Infinity, takes: () => true, keepsTables: false };
}

/** The smallest naturally aligned power of two of bytes that holds both, at least a page. */
function block(first: number, last: number): { first: number; bytes: number } {
  let bytes = PAGE;
  while (Math.floor(first / bytes) !== Math.floor(last / bytes)) bytes *= 2;
  return { first: first - (first % bytes), bytes };
}

function amd(first: number, last: number): Command {
  const { first: from, bytes } = block(first, last);
  const to = from + bytes - 1;
  return { commands: 1, form: 'range', first: from, last: to, takes: (size) => size <= bytes, keepsTables: false };
}

function vtd(domain: DomainModel, first: number, last: number, leafOnly: boolean): Command {
  const { first: from, bytes } = block(first, last);
  if (bytes > 1024 * MIB) return everything(domain);
  const to = from + bytes - 1;
  return { commands: 1, form: 'range', first: from, last: to, takes: () => true, keepsTables: leafOnly };
}

/** Powers of two by 1 to 31, the smallest first: the digits of the count, five bits from each lowest one on. */
function rangeCommands(granules: number): number {
  let commands = 0;
  for (let left = granules; left > 0; commands++) {
    while (left % 2 === 0) left /= 2;
    left -= left % 32;
  }
  return commands;
}

function smmu(domain: DomainModel, first: number, last: number, how: How, ranges: boolean): Command {
  const { leafOnly = false, leafSize } = how;
  const stride = ranges ? PAGE : (leafSize ?? PAGE);
  const from = first - (first % stride);
  const to = last - (last % stride) + stride - 1;
  const count = (to - from + 1) / stride;
  if (ranges ? count > 31 * 2 ** 31 : count >= 512) return everything(domain);
  const level = (size: number) => Math.floor(Math.log2(size / PAGE) / 9);
  const takes = (size: number) => !ranges || leafSize === undefined || level(size) === level(leafSize);
  const commands = ranges ? rangeCommands(count) : count;
  return { commands, form: 'range', first: from, last: to, takes, keepsTables: leafOnly };
}

function riscv(domain: DomainModel, first: number, last: number, leafOnly: boolean): Command {
  if (!leafOnly || last - first + 1 >= 2 * MIB) return everything(domain);
  const from = first - (first % PAGE);
  const to = last - (last % PAGE) + PAGE - 1;
  const commands = (to - from + 1) / PAGE;
  return { commands, form: 'range', first: from, last: to, takes: () => true, keepsTables: true };
}

/** As the vendor of the domain's format encodes it, with SMMU range commands or without. */
export function vendor(ranges: boolean): Encoder {
  return (domain, first, last, how) => {
    switch (domain.shape.format.name) {
      case 'amdv1':
        return amd(first, last);
      case 'vtdss':
      case 'x86_64':
        return vtd(domain, first, last, how.leafOnly ?? false);
      case 'armv8-s1':
      case 'armv8-s2':
        return smmu(domain, first, last, how, ranges);
      case 'riscv':
        return riscv(domain, first, last, how.leafOnly ?? false);
      default:
        return exact(domain, first, last, how);
    }
  };
}
