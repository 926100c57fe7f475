// Writing down which bits of a word are set, as page numbers. What would cost is a branch per bit, so more is written than
// there is, and as much of it kept as there are bits: SLACK bytes have to be free behind the last one that is wanted.

/** What may be written behind the last number that was there, bytes: those of a word, and four more. */
export const SLACK: usize = 272;
/** The table of nibbles: four page numbers each. */
export const NIBBLES_BYTES: usize = 256;

/** Writes where the bits of each nibble are, ascending, to address `at`. */
export function writeNibbles(at: usize): void {
  v128.store(at, i32x4(0, 0, 0, 0));
  v128.store(at, i32x4(0, 0, 0, 0), 16);
  v128.store(at, i32x4(1, 0, 0, 0), 32);
  v128.store(at, i32x4(0, 1, 0, 0), 48);
  v128.store(at, i32x4(2, 0, 0, 0), 64);
  v128.store(at, i32x4(0, 2, 0, 0), 80);
  v128.store(at, i32x4(1, 2, 0, 0), 96);
  v128.store(at, i32x4(0, 1, 2, 0), 112);
  v128.store(at, i32x4(3, 0, 0, 0), 128);
  v128.store(at, i32x4(0, 3, 0, 0), 144);
  v128.store(at, i32x4(1, 3, 0, 0), 160);
  v128.store(at, i32x4(0, 1, 3, 0), 176);
  v128.store(at, i32x4(2, 3, 0, 0), 192);
  v128.store(at, i32x4(0, 2, 3, 0), 208);
  v128.store(at, i32x4(1, 2, 3, 0), 224);
  v128.store(at, i32x4(0, 1, 2, 3), 240);
}

/** What the loops over words consist of: a call would cost as much as the work. Each returns where its numbers end. */
export abstract class Emit {
  /** Writes the pages of the bits in `bits`, bit 0 of which is page `page`, to `out`; fast where one or two are set. */
  @inline static few(out: usize, bits: u64, page: u32): usize {
    const end = out + ((<usize>popcnt(bits)) << 2);
    // Two without a look: most words have no more, and what is too much is overwritten.
    store<u32>(out, page + <u32>ctz(bits));
    bits &= bits - 1;
    store<u32>(out, page + <u32>ctz(bits), 4);
    for (bits &= bits - 1; bits; bits &= bits - 1) {
      store<u32>(out, page + <u32>ctz(bits), 8);
      bits &= bits - 1;
      store<u32>(out, page + <u32>ctz(bits), 12);
      out += 8;
    }
    return end;
  }

  /** The same, for no more than eight: all of them without a look. */
  @inline static eight(out: usize, bits: u64, page: u32): usize {
    const end = out + ((<usize>popcnt(bits)) << 2);
    store<u32>(out, page + <u32>ctz(bits));
    bits &= bits - 1;
    store<u32>(out, page + <u32>ctz(bits), 4);
    bits &= bits - 1;
    store<u32>(out, page + <u32>ctz(bits), 8);
    bits &= bits - 1;
    store<u32>(out, page + <u32>ctz(bits), 12);
    bits &= bits - 1;
    store<u32>(out, page + <u32>ctz(bits), 16);
    bits &= bits - 1;
    store<u32>(out, page + <u32>ctz(bits), 20);
    bits &= bits - 1;
    store<u32>(out, page + <u32>ctz(bits), 24);
    bits &= bits - 1;
    store<u32>(out, page + <u32>ctz(bits), 28);
    return end;
  }

  /** The same, however many are set; `nibbles` is the table. */
  @inline static many(out: usize, bits: u64, page: u32, nibbles: usize): usize {
    let base = i32x4.splat(page);
    const four = i32x4.splat(4);
    for (let i = 0; i < 4; ++i) {
      const part = <u32>bits;
      const a = (part & 15) << 4;
      v128.store(out, i32x4.add(v128.load(nibbles + a), base));
      out += popcnt<u32>(a) << 2;
      base = i32x4.add(base, four);
      const b = part & 0xf0;
      v128.store(out, i32x4.add(v128.load(nibbles + b), base));
      out += popcnt<u32>(b) << 2;
      base = i32x4.add(base, four);
      const c = (part >> 4) & 0xf0;
      v128.store(out, i32x4.add(v128.load(nibbles + c), base));
      out += popcnt<u32>(c) << 2;
      base = i32x4.add(base, four);
      const d = (part >> 8) & 0xf0;
      v128.store(out, i32x4.add(v128.load(nibbles + d), base));
      out += popcnt<u32>(d) << 2;
      base = i32x4.add(base, four);
      bits >>= 16;
    }
    return out;
  }
}
