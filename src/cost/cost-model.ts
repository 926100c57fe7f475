import { CostError } from './cost-error.ts';
import { COST_PARAMETERS, type CostParameter, type ModelledCost } from './parameters.ts';
import type { PricedWork } from './priced-work.ts';

/** A parameter as it is printed with a result. */
export interface CostParameterResult {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly source: string;
}

/** Source of a value that a cost file gives without saying where it is from. */
const UNSTATED_SOURCE = 'assumed: --cost';

/** Prices are kept in whole picoseconds, so that sums are exact. */
const PS_PER_NS = 1000;

/** About a quarter of an hour, which in picoseconds is still exact. */
const MAX_PRICE = 1e12;

/** Prices the work of a tracker. A model, not a measurement: each price carries its source. */
export class CostModel {
  readonly #parameters: readonly CostParameter[];

  private constructor(parameters: readonly CostParameter[]) {
    this.#parameters = parameters;
  }

  /** The model with the values of `COST_PARAMETERS`. */
  static default(): CostModel {
    return new CostModel(COST_PARAMETERS);
  }

  /**
   * This model with other values.
   * @param overrides A parsed cost file: an object from parameter name to a number, or to `{ value, source }` where `source`
   *   may be left out. Values are in the parameter's unit.
   * @throws CostError for another shape, an unknown name, or a value that is negative, not finite, above 1e12 or finer
   *   than a picosecond.
   */
  withOverrides(overrides: unknown): CostModel {
    if (!isObject(overrides)) {
      throw new CostError(`the costs are ${show(overrides)}; they must be an object such as {"iotlbMiss": 250}`);
    }
    const names = this.#parameters.map((parameter) => parameter.name);
    for (const name of Object.keys(overrides)) {
      if (!names.includes(name)) throw new CostError(`there is no cost '${name}'; the costs are ${names.join(', ')}`);
    }
    return new CostModel(
      this.#parameters.map((parameter) =>
        Object.hasOwn(overrides, parameter.name) ? overridden(parameter, overrides[parameter.name]) : parameter,
      ),
    );
  }

  /**
   * The cost of `work`: each of the four sums is exact in picoseconds, then rounded to the nearest nanosecond, half up.
   * @throws RangeError when a quantity is not a whole number of at least 0, or a sum exceeds 2^53 - 1 ns.
   */
  price(work: PricedWork): ModelledCost {
    const sums = { queryNs: 0n, flushNs: 0n, iotlbMissNs: 0n, dmaStallNs: 0n };
    for (const parameter of this.#parameters) {
      const quantity = work[parameter.work] ?? 0;
      if (!Number.isSafeInteger(quantity) || quantity < 0) {
        throw new RangeError(`work.${parameter.work} is ${quantity}; it must be a whole number from 0 to 2^53 - 1`);
      }
      sums[parameter.cost] += BigInt(quantity) * BigInt(Math.round(parameter.value * PS_PER_NS));
    }
    return {
      queryNs: wholeNs('queryNs', sums.queryNs),
      flushNs: wholeNs('flushNs', sums.flushNs),
      iotlbMissNs: wholeNs('iotlbMissNs', sums.iotlbMissNs),
      dmaStallNs: wholeNs('dmaStallNs', sums.dmaStallNs),
    };
  }

  /** What one invalidation takes from its issue to its completion: the price of one, whole ns, half up. */
  get flushNs(): number {
    const none = { queries: 0, entriesRead: 0, logEntriesRead: 0, bitmapWordsRead: 0, iotlbMisses: 0, stalls: 0 };
    return this.price({ ...none, flushes: 1 }).flushNs;
  }

  /** The parameters with their meaning, in fixed order. */
  parameters(): readonly CostParameter[] {
    return this.#parameters;
  }

  /** The parameters as a result prints them, in fixed order. */
  toResult(): CostParameterResult[] {
    return this.#parameters.map(({ name, value, unit, source }) => ({ name, value, unit, source }));
  }
}

function overridden(parameter: CostParameter, override: unknown): CostParameter {
  if (!isObject(override)) return { ...parameter, value: price(parameter, override), source: UNSTATED_SOURCE };
  const stray = Object.keys(override).find((key) => key !== 'value' && key !== 'source');
  if (stray !== undefined) {
    throw new CostError(`the cost '${parameter.name}' has a field '${stray}'; its fields are value and source`);
  }
  const source = override['source'] ?? UNSTATED_SOURCE;
  if (typeof source !== 'string' || source.trim() === '') {
    throw new CostError(
      `the source of cost '${parameter.name}' is ${show(source)}; it must be a text such as "measured: our machine"`,
    );
  }
  return { ...parameter, value: price(parameter, override['value']), source };
}

function price(parameter: CostParameter, value: unknown): number {
  if (typeof value === 'number' && value >= 0 && value <= MAX_PRICE) {
    // Adding 0 turns -0 into 0.
    if (Math.round(value * PS_PER_NS) / PS_PER_NS === value) return value + 0;
  }
  throw new CostError(
    `the cost '${parameter.name}' is ${show(value)}; ` +
      `it must be a number of ${parameter.unit} from 0 to ${MAX_PRICE} with at most three decimals`,
  );
}

function wholeNs(name: string, ps: bigint): number {
  const ns = (ps + BigInt(PS_PER_NS / 2)) / BigInt(PS_PER_NS);
  if (ns > BigInt(Number.MAX_SAFE_INTEGER)) throw new RangeError(`${name} is ${ns}; it must not exceed 2^53 - 1`);
  return Number(ns);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function show(value: unknown): string {
  return typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? String(value));
}
