import type { Measurement } from './harness.ts';
import type { Ratio } from './ratio.ts';
import type { AreaResult, BenchResult } from './result.ts';
import type { SweepResult } from './sweep.ts';
import type { Verdict } from './targets.ts';

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
  const lines = ratio.contestants.map(({ name, median, low, high, ns }) => {
    const spread = `(${digits(low)} to ${digits(high)})`;
    return `    ${name.padEnd(width)}  ${digits(median).padStart(7)}  ${spread.padEnd(18)}  ${time(ns)}`;
  });
  return [head, ...lines];
}

function sweepLines({ name, unit, steps, memory }: SweepResult): string[] {
  const width = Math.max(...steps.map(({ step }) => step.length));
  const labels = memory.map(({ label }) => label.padStart(10)).join('');
  const rows = steps.map(({ step, points, fit }) => {
    const each = points.map(({ ns, work }) => time(ns / work).padStart(10)).join('');
    const line = `${time(fit.perUnitNs)} each + ${fit.fixedNs < 0 ? '-' : ''}${time(Math.abs(fit.fixedNs))}`;
    return `    ${step.padEnd(width)}${each}  ${line}, worst x ${digits(fit.worst)} at ${fit.worstAt}`;
  });
  const weights = memory.map(({ bytes, needed }) => digits(bytes / needed).padStart(10)).join('');
  return [`  ${name}: time per ${unit}, and the line through it`, `    ${' '.repeat(width)}${labels}`, ...rows].concat(
    `    ${'memory'.padEnd(width)}${weights}  times what the format needs`,
  );
}

function areaLines(result: AreaResult): string[] {
  const width = Math.max(0, ...result.cases.map(({ name }) => name.length));
  return [
    result.area,
    ...(result.absent === null ? [] : [`  ${result.absent}`]),
    ...result.cases.map((measured) => caseLine(measured, width)),
    ...result.ratios.flatMap((ratio) => ['', ...ratioLines(ratio)]),
    ...result.sweeps.flatMap((sweep) => ['', ...sweepLines(sweep)]),
    ...result.failures.map(({ name, message }) => `  FAILED ${name}: ${message}`),
  ];
}

function targetLines(targets: readonly Verdict[]): string[] {
  if (targets.length === 0) return [];
  const width = Math.max(...targets.map(({ what }) => what.length));
  const lines = targets.map(({ what, target, reached, unit, met, why }) => {
    const found =
      reached === null ? why : `${digits(reached).padStart(7)} ${unit.padEnd(3)}  ${met ? 'met' : 'NOT MET'}`;
    return `  ${what.padEnd(width)}  at most ${String(target).padStart(4)}  ${found}`;
  });
  return ['', 'targets: ratios of medians in this run', ...lines];
}

/** The result as text: medians, quartiles in brackets. */
export function toText(result: BenchResult): string {
  const { cpu, cores, node, v8 } = result.machine;
  const head = `${cpu}, ${cores} cores, Node ${node}, V8 ${v8}; median (quartiles, best)`;
  const areas = result.areas.flatMap((area) => ['', ...areaLines(area)]);
  return [head, ...areas, ...targetLines(result.targets)].join('\n') + '\n';
}
