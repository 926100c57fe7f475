import { IommuError } from '../errno/error.ts';
import type { AnyStruct } from '../uapi/struct.ts';
import * as uapi from '../uapi/vfio.ts';
import { hex } from '../wasm/address.ts';

const { VFIO_DEVICE_FEATURE_GET: GET, VFIO_DEVICE_FEATURE_SET: SET, VFIO_DEVICE_FEATURE_PROBE: PROBE } = uapi;

/** Data of a feature by the keys of its struct. */
export type FeatureData = Readonly<Record<string, number | bigint | Uint8Array>>;

/** The struct of a feature's data, whichever it is (see Struct). */
export interface FeatureStruct {
  readonly size: number;
  decode(bytes: Uint8Array): FeatureData;
  encode(value: FeatureData, into: Uint8Array): void;
  of(value: FeatureData, op: string): FeatureData;
}

function dataOf(struct: AnyStruct): FeatureStruct {
  return struct as unknown as FeatureStruct;
}

/** A device feature: what may be done with it, and the data that follows the header. */
export interface DeviceFeature {
  readonly id: number;
  readonly name: string;
  /** VFIO_DEVICE_FEATURE_GET, _SET or both. */
  readonly operations: number;
  readonly data: FeatureStruct | undefined;
  /** Whether the data is read, and whether it is written back. */
  readonly reads: boolean;
  readonly writes: boolean;
  /** Which part of a device offers it. */
  readonly part: 'migration' | 'logging';
}

/**
 * The features that a device model has (drivers/vfio/vfio_main.c); those of a bus or of power management are not
 * modelled.
 */
export const DEVICE_FEATURES: readonly DeviceFeature[] = [
  {
    id: uapi.VFIO_DEVICE_FEATURE_MIGRATION,
    name: 'MIGRATION',
    operations: GET,
    data: dataOf(uapi.VfioDeviceFeatureMigration),
    reads: false,
    writes: true,
    part: 'migration',
  },
  {
    id: uapi.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
    name: 'MIG_DEVICE_STATE',
    operations: GET | SET,
    data: dataOf(uapi.VfioDeviceFeatureMigState),
    reads: true,
    writes: true,
    part: 'migration',
  },
  {
    id: uapi.VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
    name: 'DMA_LOGGING_START',
    operations: SET,
    data: dataOf(uapi.VfioDeviceFeatureDmaLoggingControl),
    reads: true,
    writes: true,
    part: 'logging',
  },
  {
    id: uapi.VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
    name: 'DMA_LOGGING_STOP',
    operations: SET,
    data: undefined,
    reads: false,
    writes: false,
    part: 'logging',
  },
  {
    id: uapi.VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
    name: 'DMA_LOGGING_REPORT',
    operations: GET,
    data: dataOf(uapi.VfioDeviceFeatureDmaLoggingReport),
    reads: true,
    writes: false,
    part: 'logging',
  },
  {
    id: uapi.VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
    name: 'MIG_DATA_SIZE',
    operations: GET,
    data: dataOf(uapi.VfioDeviceFeatureMigDataSize),
    reads: false,
    writes: true,
    part: 'migration',
  },
];

const KNOWN = uapi.VFIO_DEVICE_FEATURE_MASK | GET | SET | PROBE;

/**
 * The feature that `flags` asks for; undefined for a PROBE that succeeds. Errors, the first that holds: EINVAL an
 * unknown bit, or GET and SET at once; ENOTTY a feature that there is not, or that the device lacks; EINVAL an
 * operation that it does not have, or neither GET, SET nor PROBE.
 */
export function checkFeature(flags: number, has: (part: DeviceFeature['part']) => boolean): DeviceFeature | undefined {
  const op = 'DEVICE_FEATURE';
  const asked = flags & (GET | SET);
  if (flags >>> 0 !== (flags & KNOWN)) {
    throw new IommuError(
      'EINVAL',
      op,
      `flags is ${hex(flags >>> 0)}; known are ${hex(KNOWN)}: an id, GET, SET and PROBE`,
    );
  }
  if (!(flags & PROBE) && asked === (GET | SET)) {
    throw new IommuError('EINVAL', op, 'flags has GET and SET; without PROBE it is one of them');
  }
  const id = flags & uapi.VFIO_DEVICE_FEATURE_MASK;
  const feature = DEVICE_FEATURES.find((each) => each.id === id);
  if (!feature) {
    const known = DEVICE_FEATURES.map((each) => `${each.id} ${each.name}`).join(', ');
    throw new IommuError('ENOTTY', op, `there is no feature ${id}; there are ${known}`);
  }
  if (!has(feature.part)) {
    const why = feature.part === 'migration' ? 'cannot be migrated' : 'has no DMA logging';
    throw new IommuError('ENOTTY', feature.name, `the device ${why}`);
  }
  if (asked & ~feature.operations) {
    const can = feature.operations === GET ? 'GET' : 'SET';
    throw new IommuError('EINVAL', feature.name, `flags asks for ${asked === GET ? 'GET' : 'SET'}; it is ${can} only`);
  }
  if (flags & PROBE) return undefined;
  if (asked === 0) throw new IommuError('EINVAL', feature.name, 'flags has none of GET, SET and PROBE');
  return feature;
}
