import { cpus } from 'node:os';
import type { Measurement } from './harness.ts';
import type { Ratio } from './ratio.ts';
import type { SweepResult } from './sweep.ts';
import type { Verdict } from './targets.ts';

/** On what was measured. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly node: string;
  readonly v8: string;
}

/** What failed, and why. */
export interface Failure {
  readonly name: string;
  readonly message: string;
}

/** An area, measured. */
export interface AreaResult {
  readonly area: string;
  readonly cases: readonly Measurement[];
  readonly ratios: readonly Ratio[];
  readonly sweeps: readonly SweepResult[];
  readonly failures: readonly Failure[];
  /** Why there was nothing to measure; null where there was. */
  readonly absent: string | null;
}

/** A run. No date: what differs between two files is what was measured. */
export interface BenchResult {
  readonly schema: 'wasm-iommu/bench@2';
  readonly machine: Machine;
  /** Seconds per case. */
  readonly seconds: number;
  readonly areas: readonly AreaResult[];
  readonly targets: readonly Verdict[];
}

/** The machine that this runs on. */
export function thisMachine(): Machine {
  const found = cpus();
  const { node, v8 } = process.versions;
  return { cpu: found[0]?.model.trim() ?? 'unknown', cores: found.length, node, v8 };
}
