/** Numbers and structs of Linux (include/uapi/linux/iommufd.h, vfio.h), as 6.12 has them: what the binary doors take. */
export type { IoctlArg } from './envelope.ts';
export * from './iommufd.ts';
export type { LinuxQuirk } from './linux-quirk.ts';
export { ReplyError } from './reply-error.ts';
export {
  defineStruct,
  type AnyStruct,
  type ArrayType,
  type Camel,
  type Decoded,
  type FieldType,
  type Fields,
  type Loose,
  type ScalarType,
  type Struct,
  type StructField,
  type StructInput,
  type StructOf,
} from './struct.ts';
export * from './type1.ts';
export type { UserPointer } from './user-pointer.ts';
export * from './vfio.ts';
