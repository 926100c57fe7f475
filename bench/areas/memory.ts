import type { Area, Case } from '../case.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

function copy(name: string, bytes: number): Case {
  const from = new Uint8Array(bytes).fill(1);
  const to = new Uint8Array(bytes);
  const run = () => {
    to.set(from);
    return to[bytes - 1];
  };
  return { name, unit: 'byte', work: bytes, bytes: 2 * bytes, run };
}

function fill(name: string, bytes: number): Case {
  const to = new Uint8Array(bytes);
  let value = 0;
  const run = () => {
    to.fill((value = (value + 1) & 0xff));
    return to[bytes - 1];
  };
  return { name, unit: 'byte', work: bytes, bytes, run };
}

/** What the machine's memory gives: the limit against which the other areas' GB/s stand. */
export const memory: Area = {
  name: 'memory',
  about: "copying and filling bytes: the machine's own limits",
  open: async () => ({
    cases: [
      copy('copy 256 KiB', 256 * KIB),
      copy('copy 64 MiB', 64 * MIB),
      fill('fill 256 KiB', 256 * KIB),
      fill('fill 64 MiB', 64 * MIB),
    ],
    claims: [],
  }),
};
