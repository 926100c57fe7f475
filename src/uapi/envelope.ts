import type { AddressSpace } from '../address-space/address-space.ts';
import { ERRNO } from '../errno/errno.ts';
import { IommuError } from '../errno/error.ts';
import { hex } from '../wasm/address.ts';
import { IOMMUFD_CMD_BASE, IOMMUFD_COMMANDS, type IommufdCommand } from './iommufd.ts';
import { ReplyError } from './reply-error.ts';
import type { Decoded, Fields, Loose, Struct } from './struct.ts';
import { readUser, writeUser, type UserPointer } from './user-pointer.ts';

/** The third argument of ioctl(2): the struct's bytes, or the user address of the struct. */
export type IoctlArg = UserPointer;

/** Runs one command, whose struct it names. */
export interface Handler<F extends Fields = Fields> {
  readonly struct: Struct<F>;
  /**
   * Runs it. The outputs that it returns, `{}` included, make the whole struct be written back; undefined writes
   * nothing. Throws IommuError; a ReplyError's outputs are written back too.
   */
  run(input: Decoded<F>): Loose<F> | void;
  /** Takes back what `run` created, where the outputs cannot be written. */
  undo?(outputs: Loose<F>): void;
}

/** Handlers by their request number. */
export type Handlers = ReadonlyMap<number, Handler>;

/** A handler with the types of its struct, as a row for Handlers. */
export function handler<F extends Fields>(
  struct: Struct<F>,
  run: (input: Decoded<F>) => Loose<F> | void,
  undo?: (outputs: Loose<F>) => void,
): Handler {
  return { struct, run, ...(undo && { undo }) } as unknown as Handler;
}

/**
 * Runs one ioctl: its result (0 mostly), or -errno where it throws an IommuError. Every other error is a bug, and
 * passes through.
 */
export function resultOf(run: () => number | void): number {
  try {
    return run() ?? 0;
  } catch (error) {
    if (error instanceof IommuError) return -error.errno;
    throw error;
  }
}

const COMMANDS = new Map<number, IommufdCommand>(IOMMUFD_COMMANDS.map((command) => [command.request & 0xff, command]));
const LAST_COMMAND = Math.max(...COMMANDS.keys());

/**
 * ioctl(2) on an iommufd (drivers/iommu/iommufd/main.c): 0, or -errno. In this order: a command number that is not in
 * the table goes to `below` (VFIO compatibility; ENOTTY without one); the struct's size cannot be read: EFAULT; another
 * ioctl has this number, or no handler: ENOTTY; smaller than the least size: EINVAL; bytes beyond the struct that are
 * not 0: E2BIG; then the handler, whose struct reads 0 where the caller's ends. Outputs are written as far as the
 * caller's struct goes; where that fails, EFAULT, and a creation is undone.
 */
export function iommufdIoctl(
  space: AddressSpace,
  handlers: Handlers,
  request: number,
  arg: IoctlArg,
  below?: (request: number, arg: IoctlArg) => number,
): number {
  const number = request & 0xff;
  if (number < IOMMUFD_CMD_BASE || number > LAST_COMMAND) return below ? below(request, arg) : -ERRNO.ENOTTY;
  return resultOf(() => {
    const op = `ioctl ${hex(request >>> 0)}`;
    const head = new Uint8Array(4);
    if (!readUser(space, arg, 0, head)) throw fault(op, arg, head.length);
    const size = new DataView(head.buffer).getUint32(0, true);
    const command = COMMANDS.get(number);
    const target = handlers.get(request);
    if (!command || !target) {
      throw new IommuError('ENOTTY', op, 'there is no such ioctl; requests are 0x3b00 + the number of the command');
    }
    if (size < command.minSize) {
      throw new IommuError('EINVAL', op, `size is ${size}; ${command.name} has at least ${command.minSize} bytes`);
    }
    const bytes = new Uint8Array(target.struct.size);
    checkTail(space, arg, bytes.length, size, op);
    const taken = bytes.subarray(0, Math.min(size, bytes.length));
    if (!readUser(space, arg, 0, taken)) throw fault(op, arg, taken.length);
    runHandler(space, arg, target, bytes, taken.length, op);
  });
}

/**
 * One ioctl of VFIO, whose struct begins with `argsz`: 0, or -errno. The first `minSize` bytes cannot be read: EFAULT;
 * `argsz` is below that: EINVAL; then the handler. What lies behind `minSize` bytes is not looked at, and reads 0.
 * Outputs are written over those bytes.
 */
export function vfioIoctl(
  space: AddressSpace,
  target: Handler,
  arg: IoctlArg,
  op: string,
  minSize = target.struct.size,
): number {
  return resultOf(() => {
    const bytes = readArgsz(space, target.struct, arg, op, minSize);
    runHandler(space, arg, target, bytes, minSize, op);
  });
}

/** The checks of vfioIoctl alone: the struct's bytes, 0 from `minSize` on. EFAULT, EINVAL. */
export function readArgsz(
  space: AddressSpace,
  struct: { readonly name: string; readonly size: number },
  arg: IoctlArg,
  op: string,
  minSize = struct.size,
): Uint8Array {
  const bytes = new Uint8Array(struct.size);
  if (!readUser(space, arg, 0, bytes.subarray(0, minSize))) throw fault(op, arg, minSize);
  const argsz = new DataView(bytes.buffer).getUint32(0, true);
  if (argsz >= minSize) return bytes;
  throw new IommuError('EINVAL', op, `argsz is ${argsz}; ${struct.name} has at least ${minSize} bytes`);
}

/** A struct in user memory, `offset` bytes behind `pointer`. EFAULT. */
export function readStruct<F extends Fields>(
  space: AddressSpace,
  struct: Struct<F>,
  pointer: UserPointer,
  op: string,
  offset = 0,
): Decoded<F> {
  const bytes = new Uint8Array(struct.size);
  if (!readUser(space, pointer, offset, bytes)) throw fault(op, pointer, struct.size);
  return struct.decode(bytes);
}

/** Writes a whole struct to user memory, `offset` bytes behind `pointer`; fields that `value` lacks are 0. EFAULT. */
export function writeStruct<F extends Fields>(
  space: AddressSpace,
  struct: Struct<F>,
  pointer: UserPointer,
  value: Loose<F>,
  op: string,
  offset = 0,
): void {
  const bytes = new Uint8Array(struct.size);
  struct.encode(value, bytes);
  if (!writeUser(space, pointer, offset, bytes)) throw fault(op, pointer, struct.size);
}

function fault(op: string, pointer: UserPointer, length: number): IommuError {
  const where = typeof pointer === 'bigint' ? `at ${hex(pointer)}` : `in the ${pointer.length} bytes given`;
  return new IommuError('EFAULT', op, `${length} bytes are not accessible ${where}`);
}

/** E2BIG where a byte of [from, to) is not 0; EFAULT where one before the first such byte cannot be read. */
function checkTail(space: AddressSpace, arg: IoctlArg, from: number, to: number, op: string): void {
  for (let at = from; at < to;) {
    // Up to the end of a page, so that what is not 0 is found before a later page that is missing.
    const room = typeof arg === 'bigint' ? 4096 - Number((arg + BigInt(at)) % 4096n) : Math.max(1, arg.length - at);
    const bytes = new Uint8Array(Math.min(to - at, room));
    if (!readUser(space, arg, at, bytes)) throw fault(op, arg, to);
    const found = bytes.findIndex((byte) => byte !== 0);
    if (found >= 0) {
      throw new IommuError(
        'E2BIG',
        op,
        `byte ${at + found} is ${bytes[found]}; behind the ${from} known bytes all must be 0`,
      );
    }
    at += bytes.length;
  }
}

/** Runs the handler on `bytes`, and writes the first `length` of them back where it has outputs. */
function runHandler(
  space: AddressSpace,
  arg: IoctlArg,
  target: Handler,
  bytes: Uint8Array,
  length: number,
  op: string,
): void {
  const reply = (outputs: Loose<Fields>): boolean => {
    target.struct.encode(outputs, bytes);
    return writeUser(space, arg, 0, bytes.subarray(0, length));
  };
  let outputs: Loose<Fields> | void;
  try {
    outputs = target.run(target.struct.decode(bytes));
  } catch (error) {
    if (error instanceof ReplyError && !reply(error.reply as Loose<Fields>)) throw fault(op, arg, length);
    throw error;
  }
  if (!outputs || reply(outputs)) return;
  target.undo?.(outputs);
  throw fault(op, arg, length);
}
