import * as layout from '../../assembly/layout.ts';

/** What two devices must have in common for the state of one to fit the other. */
export interface DeviceParameters {
  /** Which model of a device it is, u32. */
  readonly type: number;
  /** 1 .. 16. */
  readonly queues: number;
  /** Bytes of local memory. */
  readonly memory: number;
}

/** Of the stream's format; a reader takes its own only. */
export const STREAM_VERSION = 1;

/** Tag of the build: version of the core's memory layout << 16 | version of the page records. */
export const BUILD_TAG = (layout.VERSION << 16) | 1;

const MAGIC = 'WIOMDEVS';
export const PARAMETERS_BYTES = 40;

/** The payload of a stream's first frame. */
export function writeParameters(parameters: DeviceParameters): Uint8Array {
  const bytes = new Uint8Array(PARAMETERS_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(Uint8Array.from(MAGIC, (char) => char.charCodeAt(0)));
  view.setUint32(8, STREAM_VERSION, true);
  view.setUint32(12, BUILD_TAG, true);
  view.setUint32(16, parameters.type, true);
  view.setUint32(20, parameters.queues, true);
  view.setBigUint64(24, BigInt(parameters.memory), true);
  view.setUint32(32, layout.STATE_PAGE_BYTES, true);
  return bytes;
}

/** Why a stream that begins with `payload` does not fit a device with `parameters`; undefined where it does. */
export function refuseParameters(payload: Uint8Array, parameters: DeviceParameters): string | undefined {
  const magic = String.fromCharCode(...payload.subarray(0, MAGIC.length));
  if (payload.length !== PARAMETERS_BYTES || magic !== MAGIC) return 'it is not the state of a device';
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const fields: [string, number | bigint, number | bigint][] = [
    ['version', view.getUint32(8, true), STREAM_VERSION],
    ['build', view.getUint32(12, true), BUILD_TAG],
    ['device type', view.getUint32(16, true), parameters.type],
    ['number of queues', view.getUint32(20, true), parameters.queues],
    ['local memory', view.getBigUint64(24, true), BigInt(parameters.memory)],
    ['page size', view.getUint32(32, true), layout.STATE_PAGE_BYTES],
    ['reserved field', view.getUint32(36, true), 0],
  ];
  const other = fields.find(([, has, wanted]) => has !== wanted);
  return other && `its ${other[0]} is ${other[1]}; this device takes ${other[2]}`;
}
