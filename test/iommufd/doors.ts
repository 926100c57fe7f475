import { errnoName } from '../../src/errno/errno.ts';
import type { Iommufd } from '../../src/iommufd/iommufd.ts';
import { IOMMUFD_COMMANDS } from '../../src/uapi/iommufd.ts';
import { ReplyError } from '../../src/uapi/reply-error.ts';
import type { Fields, Struct } from '../../src/uapi/struct.ts';
import { codeOf } from '../core/builds.ts';
import { ARGS, type Rig } from './rig.ts';

/** Methods that are commands of the binary door too. */
export type CommandName = {
  [K in keyof Iommufd]: K extends
    'close' | 'ioctl' | 'bind' | 'createAccess' | 'domainOf' | 'faultFile' | 'nestedStateOf' | `${string}Steps`
    ? never
    : Iommufd[K] extends (...args: never[]) => unknown
      ? K
      : never;
}[keyof Iommufd];

export type Args = Readonly<Record<string, number | bigint>>;
export type Outputs = Readonly<Record<string, unknown>>;

/** One of the two ways into an iommufd. */
export interface Door {
  readonly name: string;
  /** The errno's name or `none`, and what the struct's fields say afterwards where the command writes it. */
  call(rig: Rig, command: CommandName, args: Args): { readonly code: string; readonly out: Outputs };
}

const typed: Door = {
  name: 'methods',
  call({ fd }, command, args) {
    let out: Outputs = {};
    const code = codeOf(() => {
      try {
        out = (fd[command] as (args: Args) => Outputs | void)(args) ?? {};
      } catch (error) {
        if (error instanceof ReplyError) {
          out = error.reply;
          error.name = 'IommuError';
        }
        throw error;
      }
    });
    return { code, out };
  },
};

/** The row of the table that a method stands for. */
export function commandOf(name: CommandName) {
  const row = IOMMUFD_COMMANDS.find((each) => each.name.replaceAll('_', '').toLowerCase() === name.toLowerCase());
  if (!row) throw new Error(`there is no command ${name}`);
  return row;
}

/** The name of an ioctl's errno. */
export function codeOfResult(result: number): string {
  return result >= 0 ? 'none' : (errnoName(-result) ?? `errno ${-result}`);
}

/** Requests lie in user memory, at ARGS. */
const binary: Door = {
  name: 'ioctl',
  call({ fd, space }, command, args) {
    const { request, struct } = commandOf(command);
    const { size, decode, encode } = bound(struct as unknown as Struct);
    const bytes = new Uint8Array(size);
    encode({ size, ...args }, bytes);
    if (!space.write(ARGS, bytes)) throw new Error('requests cannot be written');
    const code = codeOfResult(fd.ioctl(request, ARGS));
    space.read(ARGS, bytes);
    return { code, out: decode(bytes) };
  },
};

function bound(struct: Struct<Fields>) {
  return {
    size: struct.size,
    decode: (bytes: Uint8Array): Outputs => struct.decode(bytes),
    encode: (value: Args, bytes: Uint8Array) => struct.encode(value as never, bytes),
  };
}

export const DOORS: readonly Door[] = [typed, binary];

/**
 * Errno and outputs of a command through the first door; throws where `fresh` rigs do not give the same through the
 * other.
 */
export function throughBoth(fresh: () => Rig, command: CommandName, args: Args) {
  const [first, second] = DOORS.map((door) => door.call(fresh(), command, args));
  const same = Object.fromEntries(Object.keys(first.out).map((key) => [key, second.out[key]]));
  return { methods: first, ioctl: { code: second.code, out: same } };
}
