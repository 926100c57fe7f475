import type { PricedWork } from './priced-work.ts';

/** Modelled cost of tracking, whole ns; what a simulated link takes is never part of it. */
export interface ModelledCost {
  /** Reading the dirty state: calls, device commands, page-table entries, log entries, bitmap words. */
  readonly queryNs: number;
  /** Invalidation commands. */
  readonly flushNs: number;
  /** Walks after IOTLB misses. */
  readonly iotlbMissNs: number;
  /** DMA held up by a full report queue. */
  readonly dmaStallNs: number;
}

/** One price of the cost model. */
export interface CostParameter {
  readonly name: string;
  /** Which quantity of work it is the price of. */
  readonly work: keyof PricedWork;
  /** Which sum it goes into. */
  readonly cost: keyof ModelledCost;
  /** Price in `unit`: 0 or more, with at most three decimals. */
  readonly value: number;
  readonly unit: string;
  /** `measured: <what>`, `published: <ref>` or `assumed`. */
  readonly source: string;
  readonly meaning: string;
}

/**
 * The prices, in the order in which they are printed. No figure for the latency of a device's dirty query, of an IOMMU's
 * dirty query, or of a single invalidation was found published; those are assumed, as orders of magnitude.
 */
export const COST_PARAMETERS: readonly CostParameter[] = [
  {
    name: 'query',
    work: 'queries',
    cost: 'queryNs',
    value: 1000,
    unit: 'ns/query',
    source: 'assumed',
    meaning: 'one read of the dirty state from user space, whoever answers it: the system call and its bitmap copy',
  },
  {
    name: 'reportCommand',
    work: 'reportCommands',
    cost: 'queryNs',
    value: 100000,
    unit: 'ns/command',
    source: 'assumed',
    meaning: 'round trip of one REPORT command to the firmware of a device, in addition to the query',
  },
  {
    name: 'tableEntry',
    work: 'entriesRead',
    cost: 'queryNs',
    value: 3.2,
    unit: 'ns/entry',
    source:
      'measured: Linux 7.2 drivers/iommu/generic_pt, AMD v1, read and clear dirty over 64 GiB of clean 4 KiB leaves, per leaf, compiled for user space with gcc 12.2 -O2, one core of an AMD EPYC (Zen 4)',
    meaning: 'looking at one I/O page-table entry while reading dirty bits',
  },
  {
    name: 'logEntry',
    work: 'logEntriesRead',
    cost: 'queryNs',
    value: 10,
    unit: 'ns/entry',
    source: 'assumed',
    meaning: 'transfer of one entry of a device log and its bit in the bitmap',
  },
  {
    name: 'bitmapWord',
    work: 'bitmapWordsRead',
    cost: 'queryNs',
    value: 1,
    unit: 'ns/word',
    source: 'assumed',
    meaning: 'going through one 64-bit word of a bitmap that the tracker keeps',
  },
  {
    name: 'invalidation',
    work: 'flushes',
    cost: 'flushNs',
    value: 2000,
    unit: 'ns/command',
    source: 'assumed',
    meaning:
      'one IOTLB invalidation command, with the wait for its completion; where leaves are split or merged, this is how long one lies broken',
  },
  {
    name: 'iotlbMiss',
    work: 'iotlbMisses',
    cost: 'iotlbMissNs',
    value: 300,
    unit: 'ns/miss',
    source: 'assumed',
    meaning: 'walk of the I/O page table that one IOTLB miss causes, as delay of the DMA',
  },
  {
    name: 'reportStall',
    work: 'stalls',
    cost: 'dmaStallNs',
    value: 10000,
    unit: 'ns/stall',
    source: 'assumed',
    meaning: 'delay of the DMA each time that a full report queue holds the device up until the host has drained it',
  },
];
