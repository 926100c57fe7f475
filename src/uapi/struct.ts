import { IommuError } from '../errno/error.ts';
import type { UserPointer } from './user-pointer.ts';

const BYTES = { u8: 1, u16: 2, u32: 4, s32: 4, u64: 8, ptr: 8 } as const;

/** An integer of the uAPI. `ptr` is a u64 that holds a user address; in a typed call it may be the bytes themselves. */
export type ScalarType = keyof typeof BYTES;
/** Several of a kind, `length` of them. */
export interface ArrayType {
  readonly array: Exclude<ScalarType, 'ptr'>;
  readonly length: number;
}
/** What a field may be: an integer, an array of them, or another struct. */
export type FieldType = ScalarType | ArrayType | AnyStruct;
/** Fields of a struct in their order, by the kernel's names. */
export type Fields = Readonly<Record<string, FieldType>>;

/** `user_va` -> `userVa`; names that begin with `__` stay as they are. */
export type Camel<Name extends string> = Name extends `__${string}`
  ? Name
  : Name extends `${infer Head}_${infer Tail}`
    ? `${Head}${Capitalize<Camel<Tail>>}`
    : Name;

type Scalar<T> = T extends 'ptr' ? UserPointer : T extends 'u64' ? bigint : number;
type Value<T> = T extends ArrayType
  ? readonly Scalar<T['array']>[]
  : T extends Struct<infer F>
    ? Decoded<F>
    : Scalar<T>;
type LooseScalar<T> = T extends 'ptr' | 'u64' ? Scalar<T> | number : number;
type LooseValue<T> = T extends ArrayType
  ? readonly LooseScalar<T['array']>[]
  : T extends Struct<infer F>
    ? Loose<F>
    : LooseScalar<T>;

/**
 * A struct's fields, camel-cased: u64 as bigint, `ptr` as UserPointer (a bigint when decoded from bytes), the rest as
 * numbers.
 */
export type Decoded<F extends Fields> = { -readonly [Name in keyof F & string as Camel<Name>]: Value<F[Name]> };
/** The same, as a caller may write it: what is missing counts as 0, and a u64 may be a number where that is exact. */
export type Loose<F extends Fields> = {
  readonly [Name in keyof F & string as Camel<Name>]?: LooseValue<F[Name]> | undefined;
};

/** One field of a struct. */
export interface StructField {
  /** The kernel's name, for example `user_va`. */
  readonly name: string;
  /** Its key in a decoded struct, for example `userVa`. */
  readonly key: string;
  readonly type: FieldType;
  /** Bytes from the struct's start. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
}

/** A struct of the uAPI: little endian, each field at its natural alignment. */
export interface Struct<F extends Fields = Fields> {
  /** The kernel's name, for example `iommu_ioas_map`. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly align: number;
  readonly fields: readonly StructField[];
  /** Reads it from byte `at` (default 0) on. RangeError where the bytes end before it does. */
  decode(bytes: Uint8Array, at?: number): Decoded<F>;
  /**
   * Writes the fields that `value` has to byte `at` (default 0) on, and leaves the other bytes alone. EINVAL: a value
   * does not fit its field.
   */
  encode(value: Loose<F>, into: Uint8Array, at?: number): void;
  /**
   * The whole struct of what a caller wrote: missing fields are 0, except that a leading `size` or `argsz` is the
   * struct's size. EINVAL, in operation `op`: a value does not fit its field.
   */
  of(value: Loose<F>, op: string): Decoded<F>;
  /** Offset in bytes of the field with this key (`userVa`). */
  offsetOf(key: keyof Decoded<F> & string): number;
}

/** Any struct, where its fields do not matter. */
export interface AnyStruct {
  readonly name: string;
  readonly size: number;
  readonly align: number;
  readonly fields: readonly StructField[];
}

/** What a struct decodes to: `StructOf<typeof IommuIoasMap>`. */
export type StructOf<S> = S extends Struct<infer F> ? Decoded<F> : never;
/** What a caller may write for it, all optional: `StructInput<typeof IommuIoasMap>`. */
export type StructInput<S> = S extends Struct<infer F> ? Loose<F> : never;

type Anything = Record<string, unknown>;

/**
 * Describes a struct once, for typed calls and for bytes. Padding is spelt out: throws (a plain Error, for it is a
 * mistake in the table) where a field, or the size, is not naturally aligned.
 */
export function defineStruct<const F extends Fields>(name: string, fields: F): Struct<F> {
  const list: StructField[] = [];
  let size = 0;
  let align = 1;
  for (const [field, type] of Object.entries(fields)) {
    const fieldAlign = alignOf(type);
    if (size % fieldAlign) throw new Error(`${name}.${field} lies at ${size}, which is no multiple of ${fieldAlign}`);
    list.push({ name: field, key: camel(field), type, offset: size, size: sizeOf(type) });
    size += sizeOf(type);
    align = Math.max(align, fieldAlign);
  }
  if (size % align) throw new Error(`${name} has ${size} bytes, which is no multiple of ${align}`);
  const self = new StructTable(name, size, align, list);
  return self as unknown as Struct<F>;
}

class StructTable implements AnyStruct {
  readonly name: string;
  readonly size: number;
  readonly align: number;
  readonly fields: readonly StructField[];

  constructor(name: string, size: number, align: number, fields: readonly StructField[]) {
    this.name = name;
    this.size = size;
    this.align = align;
    this.fields = fields;
  }

  decode(bytes: Uint8Array, at = 0): Anything {
    const view = viewOf(bytes);
    return Object.fromEntries(
      this.fields.map(({ key, type, offset }) => [key, decodeField(bytes, view, type, at + offset)]),
    );
  }

  encode(value: Anything, into: Uint8Array, at = 0): void {
    const view = viewOf(into);
    for (const { key, type, offset } of this.fields) {
      if (value[key] !== undefined) {
        encodeField(into, view, type, at + offset, fit(this.name, key, type, value[key]));
      }
    }
  }

  of(value: Anything, op: string): Anything {
    return Object.fromEntries(
      this.fields.map(({ key, type, offset, name }) => {
        if (value[key] !== undefined) return [key, fit(op, key, type, value[key])];
        const own = offset === 0 && type === 'u32' && (name === 'size' || name === 'argsz');
        return [key, own ? this.size : zero(type)];
      }),
    );
  }

  offsetOf(key: string): number {
    const field = this.fields.find((each) => each.key === key);
    if (!field) throw new Error(`${this.name} has no field ${key}`);
    return field.offset;
  }
}

function camel(name: string): string {
  return name.startsWith('__') ? name : name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
}

function isArray(type: FieldType): type is ArrayType {
  return typeof type === 'object' && 'array' in type;
}

function alignOf(type: FieldType): number {
  if (typeof type === 'string') return BYTES[type];
  return isArray(type) ? BYTES[type.array] : type.align;
}

function sizeOf(type: FieldType): number {
  if (typeof type === 'string') return BYTES[type];
  return isArray(type) ? BYTES[type.array] * type.length : type.size;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function decodeField(bytes: Uint8Array, view: DataView, type: FieldType, at: number): unknown {
  if (typeof type === 'string') return load(view, type, at);
  if (!isArray(type)) return (type as StructTable).decode(bytes, at);
  return Array.from({ length: type.length }, (_, i) => load(view, type.array, at + i * BYTES[type.array]));
}

function encodeField(into: Uint8Array, view: DataView, type: FieldType, at: number, value: unknown): void {
  if (typeof type === 'string') store(view, type, at, value as number | bigint);
  else if (!isArray(type)) (type as StructTable).encode(value as Anything, into, at);
  else (value as (number | bigint)[]).forEach((each, i) => store(view, type.array, at + i * BYTES[type.array], each));
}

function load(view: DataView, type: ScalarType, at: number): number | bigint {
  switch (type) {
    case 'u8':
      return view.getUint8(at);
    case 'u16':
      return view.getUint16(at, true);
    case 'u32':
      return view.getUint32(at, true);
    case 's32':
      return view.getInt32(at, true);
    default:
      return view.getBigUint64(at, true);
  }
}

function store(view: DataView, type: ScalarType, at: number, value: number | bigint): void {
  switch (type) {
    case 'u8':
      return view.setUint8(at, value as number);
    case 'u16':
      return view.setUint16(at, value as number, true);
    case 'u32':
      return view.setUint32(at, value as number, true);
    case 's32':
      return view.setInt32(at, value as number, true);
    default:
      if (typeof value !== 'bigint') throw new Error('bytes have no address that could be stored');
      return view.setBigUint64(at, value, true);
  }
}

function zero(type: FieldType): unknown {
  if (typeof type === 'string') return type === 'u64' || type === 'ptr' ? 0n : 0;
  if (isArray(type)) return Array.from({ length: type.length }, () => zero(type.array));
  return (type as StructTable).of({}, type.name);
}

/** `value` as the field holds it; EINVAL that names the field, its value and its range. */
function fit(op: string, key: string, type: FieldType, value: unknown): unknown {
  if (typeof type === 'string') return fitScalar(op, key, type, value);
  if (!isArray(type)) return (type as StructTable).of(value as Anything, op);
  const list = value as readonly unknown[];
  if (list.length !== type.length) {
    throw new IommuError('EINVAL', op, `${key} has ${list.length} elements; it must have ${type.length}`);
  }
  return list.map((each, i) => fitScalar(op, `${key}[${i}]`, type.array, each));
}

function fitScalar(op: string, key: string, type: ScalarType, value: unknown): number | bigint | Uint8Array {
  if (type === 'ptr' && value instanceof Uint8Array) return value;
  const bits = 8 * BYTES[type];
  const signed = type === 's32';
  const [low, high] = signed ? [-(1n << 31n), (1n << 31n) - 1n] : [0n, (1n << BigInt(bits)) - 1n];
  const number = typeof value === 'bigint' ? value : Number.isSafeInteger(value) ? BigInt(value as number) : undefined;
  if (number === undefined || number < low || number > high) {
    const range = signed ? 'a signed integer of 32 bits' : `an integer from 0 to 2^${bits} - 1`;
    const exact = bits === 64 ? ', as a bigint or, up to 2^53 - 1, a number' : '';
    throw new IommuError('EINVAL', op, `${key} is ${String(value)}; it must be ${range}${exact}`);
  }
  return bits === 64 ? number : Number(number);
}
