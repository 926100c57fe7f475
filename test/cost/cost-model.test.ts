import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CostError } from '../../src/cost/cost-error.ts';
import { CostModel } from '../../src/cost/cost-model.ts';
import { COST_PARAMETERS } from '../../src/cost/parameters.ts';
import type { PricedWork } from '../../src/cost/priced-work.ts';

const IDLE: Required<PricedWork> = {
  queries: 0,
  reportCommands: 0,
  entriesRead: 0,
  logEntriesRead: 0,
  bitmapWordsRead: 0,
  flushes: 0,
  iotlbMisses: 0,
  stalls: 0,
};

describe('CostModel', () => {
  it('has one parameter for each quantity of work, and a source for each', () => {
    expect(COST_PARAMETERS.map((parameter) => parameter.work).sort()).toEqual(Object.keys(IDLE).sort());
    for (const parameter of COST_PARAMETERS) expect(parameter.source).toMatch(/^(assumed$|measured: .|published: .)/);
  });

  it('charges each quantity to its own sum', () => {
    const model = CostModel.default();
    const none = { queryNs: 0, flushNs: 0, iotlbMissNs: 0, dmaStallNs: 0 };
    expect(model.price(IDLE)).toEqual(none);
    for (const { work, cost, value } of COST_PARAMETERS) {
      expect(model.price({ ...IDLE, [work]: 10 })).toEqual({ ...none, [cost]: value * 10 });
    }
  });

  it('takes work without report commands, as a tracker without a device log has', () => {
    const work: PricedWork = Object.freeze({
      queries: 3,
      entriesRead: 0,
      logEntriesRead: 0,
      bitmapWordsRead: 0,
      flushes: 0,
      iotlbMisses: 0,
      stalls: 0,
    });
    expect(CostModel.default().price(work).queryNs).toBe(3000);
  });

  it('adds exactly and rounds each sum once, half up', () => {
    const quantity = fc.nat(1e9);
    const price = fc.nat(1e7).map((ps) => ps / 1000);
    fc.assert(
      fc.property(quantity, quantity, price, price, (entries, words, tableEntry, bitmapWord) => {
        const model = CostModel.default().withOverrides({ tableEntry, bitmapWord });
        const ps =
          BigInt(entries) * BigInt(tableEntry.toFixed(3).replace('.', '')) +
          BigInt(words) * BigInt(bitmapWord.toFixed(3).replace('.', ''));
        const ns = ps / 1000n + (ps % 1000n >= 500n ? 1n : 0n);
        expect(model.price({ ...IDLE, entriesRead: entries, bitmapWordsRead: words }).queryNs).toBe(Number(ns));
      }),
      { seed: 31, numRuns: 300 },
    );
  });

  it('refuses work that cannot be counted and sums that a number cannot hold', () => {
    const model = CostModel.default();
    for (const queries of [-1, 0.5, NaN]) {
      expect(() => model.price({ ...IDLE, queries })).toThrow(`work.queries is ${queries}`);
    }
    expect(() => model.price({ ...IDLE, queries: 2 ** 52 })).toThrow('queryNs is');
  });

  it('prints all parameters in fixed order', () => {
    const names = CostModel.default()
      .toResult()
      .map((parameter) => parameter.name);
    const all = 'query reportCommand tableEntry logEntry bitmapWord invalidation iotlbMiss reportStall';
    expect(names.join(' ')).toBe(all);
    const reversed = { reportStall: 2, query: 1 };
    const overridden = CostModel.default().withOverrides(reversed).toResult();
    expect(overridden.map((parameter) => parameter.name)).toEqual(names);
    expect(Object.keys(overridden[0])).toEqual(['name', 'value', 'unit', 'source']);
  });

  it('carries the source of an override, and leaves the other values and itself alone', () => {
    const model = CostModel.default();
    const before = model.toResult();
    const after = model.withOverrides({
      query: { value: 700, source: 'measured: our machine' },
      iotlbMiss: 250.5,
      logEntry: { value: 0 },
    });
    const expected = before.map((parameter) => {
      if (parameter.name === 'query') return { ...parameter, value: 700, source: 'measured: our machine' };
      if (parameter.name === 'iotlbMiss') return { ...parameter, value: 250.5, source: 'assumed: --cost' };
      if (parameter.name === 'logEntry') return { ...parameter, value: 0, source: 'assumed: --cost' };
      return parameter;
    });
    expect(after.toResult()).toEqual(expected);
    expect(model.toResult()).toEqual(before);
    expect(after.price({ ...IDLE, iotlbMisses: 1 }).iotlbMissNs).toBe(251);
  });

  it('refuses what is no cost, and says what would be right', () => {
    const refusal = (overrides: unknown): string => {
      try {
        CostModel.default().withOverrides(overrides);
      } catch (error) {
        if (error instanceof CostError) return error.message;
      }
      return 'accepted';
    };
    expect(refusal({ tlbMiss: 1 })).toMatch(/no cost 'tlbMiss'; the costs are query, .*iotlbMiss.*reportStall/);
    expect(refusal(JSON.parse('{"__proto__": {"query": 1}}'))).toMatch(/no cost '__proto__'/);
    for (const value of [-1, NaN, Infinity, '5', null, [1], true, 0.0001, 1e13]) {
      expect(refusal({ query: value })).toMatch(/the cost 'query' is .*; it must be a number of ns\/query from 0/);
    }
    expect(refusal({ query: {} })).toMatch(/the cost 'query' is undefined/);
    expect(refusal({ query: { value: 1, unit: 'ms' } })).toMatch(/has a field 'unit'/);
    expect(refusal({ query: { value: 1, source: '' } })).toMatch(/the source of cost 'query'/);
    expect(refusal({ query: { value: 1, source: 3 } })).toMatch(/the source of cost 'query' is 3/);
    for (const overrides of [null, 3, 'x', [], undefined]) expect(refusal(overrides)).toMatch(/must be an object/);
    expect(refusal({})).toBe('accepted');
  });
});
