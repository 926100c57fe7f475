import type { Bitmap } from '../bitmap/bitmap.ts';
import { open, type Core } from '../core/core.ts';
import { ClassicRounds } from '../migration/classic-rounds.ts';
import { MigratedDevices } from '../migration/migrated-devices.ts';
import { Windows } from '../migration/windows.ts';
import { Oracle } from '../oracle/oracle.ts';
import type { Tracker } from '../tracker/tracker.ts';
import type { Recording } from '../workload/recording.ts';
import type { Plan, PlannedRow } from './options.ts';
import type { MigrationRow, WindowsRow } from './result.ts';

const MIB = 2 ** 20;
const PAGE = 4096;

/** A core that holds what a row needs, with room for devices that a trace names late. */
function coreBytes(row: PlannedRow, ramBytes: number, devices: number): number {
  const bits = Math.max(2048, ramBytes / PAGE / 8);
  // A table entry covers at most a leaf; the levels above add less than a hundredth.
  const leaves = Math.ceil(ramBytes / row.leafBytes) + 1;
  const entries = entriesPerLeaf(row.leafBytes) + (row.tracker.resize ? row.leafBytes / PAGE : 0);
  const tables = row.tracker.leafSizes ? leaves * entries * 8 : 0;
  const logs = row.tracker.leafSizes ? 0 : (devices + 16) * bits;
  const bytes = 8 * MIB + 8 * bits + 2 * logs + 1.1 * tables + row.mappedCoreBytes;
  return Math.min(2 ** 32, Math.ceil((bytes * 1.01) / MIB) * MIB);
}

/** Entries that a leaf fills: a power of two between two levels of 9 bits lies in several. */
function entriesPerLeaf(leafBytes: number): number {
  return 2 ** ((Math.log2(leafBytes) - 12) % 9);
}

/** One row under way: a tracker in a core of its own, on its own clock, against its own oracle. */
export class Row {
  readonly #planned: PlannedRow;
  readonly #plan: Plan;
  readonly #core: Core;
  readonly #tracker: Tracker;
  readonly #bitmaps: Bitmap[] = [];
  readonly #devices: MigratedDevices | undefined;
  readonly #run: ClassicRounds | Windows;

  private constructor(planned: PlannedRow, plan: Plan, recording: Recording, core: Core) {
    this.#planned = planned;
    this.#plan = plan;
    this.#core = core;
    const { ramBytes } = recording;
    const { leafBytes, leaf } = planned;
    const devices = recording.devices.length;
    const { pageSize, cost, spaces } = plan;
    const { flushNs } = cost;
    const context = { core, ramBytes, devices, leafBytes, leaf, pageSize, flushNs };
    this.#tracker = planned.tracker.make({ ...context, ...(spaces && { spaces }) });
    const newBitmap = (): Bitmap => {
      const bitmap = core.bitmap({ length: ramBytes, pageSize: PAGE });
      this.#bitmaps.push(bitmap);
      return bitmap;
    };
    const parts = { tracker: this.#tracker, oracle: new Oracle(Math.ceil(ramBytes / PAGE)), newBitmap };
    this.#devices = plan.state && new MigratedDevices(plan.state.sizes);
    this.#run =
      plan.windowNs === undefined
        ? new ClassicRounds({ ...parts, ...plan, ramBytes, devices: this.#devices })
        : new Windows({ ...parts, windowNs: plan.windowNs });
  }

  static async begin(planned: PlannedRow, plan: Plan, recording: Recording): Promise<Row> {
    const core = await open({ memory: coreBytes(planned, recording.ramBytes, recording.devices.length) });
    const row = new Row(planned, plan, recording, core);
    row.run.start();
    return row;
  }

  /** The migration or the windows, to be driven by the workload. */
  get run(): ClassicRounds | Windows {
    return this.#run;
  }

  /** The row as it is printed. Only when the run is done. */
  result(): MigrationRow | WindowsRow {
    const { tracker } = this.#planned;
    const head = { tracker: tracker.name, claims: tracker.claims, leaf: this.#planned.leaf };
    const tail = {
      mappedBytes: this.#tracker.mappedBytes,
      resize: this.#tracker.resizing?.result ?? null,
      iotlb: this.#tracker.iotlb,
      modelled: this.#plan.cost.price(this.#tracker.work),
    };
    const state = this.#plan.windowNs === undefined && { deviceState: this.#devices?.result ?? null };
    return { ...head, ...this.#run.result(), ...state, ...tail } as MigrationRow | WindowsRow;
  }

  close(): void {
    this.#tracker.close();
    for (const bitmap of this.#bitmaps) bitmap.close();
    this.#core.close();
  }
}
