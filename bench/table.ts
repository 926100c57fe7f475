import type { Measurement } from './harness.ts';
import type { Ratio } from './ratio.ts';
import type { AreaResult, BenchResult } from './result.ts';

function digits(value: number): string {
  return value >= 1000 ? value.toFixed(0) : value.toPrecision(3);
}

/** Nanoseconds in the unit that reads well. */
function time(ns: number): string {
  if (ns < 1e3) return `${digits(ns)} ns`;
  if (ns < 1e6) return `${digits(ns / 1e3)} us`;
  return ns < 1e9 ? `${digits(ns / 1e6)} ms` : `${digits(ns / 1e9)} s`;
}

function rate(result: Measurement): string {
  if (result.gigabytesPerSecond !== null) return `${digits(result.gigabytesPerSecond)} GB/s`;
  return result.ns < 1e5 ? `${digits(1e3 / result.ns)} M/s` : `${digits(1e9 / result.ns)} /s`;
}

function caseLine(result: Measurement, width: number): string {
  const { name, unit, ns, nsLow, nsHigh, nsBest } = result;
  const spread = `(${time(nsLow)} to ${time(nsHigh)}, best ${time(nsBest)})`;
  return `  ${name.padEnd(width)}  ${time(ns).padStart(10)} per ${unit}  ${spread}  ${rate(result)}`;
}

function ratioLines(ratio: Ratio): string[] {
  const width = Math.max(...ratio.contestants.map(({ name }) => name.length));
  const head = `  ${ratio.name}: time per ${ratio.unit} relative to '${ratio.base}', ${ratio.rounds} rounds`;
  const lines = ratio.contestants
    .slice(1)
    .map(
      ({ name, median, low, high }) =>
        `    ${name.padEnd(width)}  ${digits(median).padStart(7)}  (${digits(low)} to ${digits(high)})`,
    );
  return [head, ...lines];
}

function areaLines(result: AreaResult): string[] {
  const width = Math.max(0, ...result.cases.map(({ name }) => name.length));
  return [
    result.area,
    ...result.cases.map((measured) => caseLine(measured, width)),
    ...result.ratios.flatMap((ratio) => ['', ...ratioLines(ratio)]),
    ...result.failures.map(({ name, message }) => `  FAILED ${name}: ${message}`),
  ];
}

/** The result as text: medians, quartiles in brackets. */
export function toText(result: BenchResult): string {
  const { cpu, cores, node, v8 } = result.machine;
  const head = `${cpu}, ${cores} cores, Node ${node}, V8 ${v8}; median (quartiles, best)`;
  return [head, ...result.areas.flatMap((area) => ['', ...areaLines(area)])].join('\n') + '\n';
}
