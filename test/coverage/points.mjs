// Which place of the sources each point of the log-execution pass stands for.

import { SourceMap } from 'node:module';

function readLeb(bytes, at, signed) {
  let value = 0;
  let shift = 0;
  for (let byte = 0x80; byte & 0x80; shift += 7) {
    byte = bytes[at++];
    value |= (byte & 0x7f) << shift;
    if (signed && !(byte & 0x80) && byte & 0x40) value |= -1 << (shift + 7);
  }
  return { value, end: at };
}

const I32_CONST = 0x41;
const CALL_LOG_EXECUTION = [0x10, 0x00]; // the module's only imported function

/** Byte offsets of the calls in the module, by point. Throws where they are not 0, 1, 2, …, each one once. */
function offsetsOf(wasm) {
  const offsets = [];
  for (let at = 0; at < wasm.length; at++) {
    if (wasm[at] !== I32_CONST) continue;
    const { value, end } = readLeb(wasm, at + 1, true);
    if (!CALL_LOG_EXECUTION.every((byte, i) => wasm[end + i] === byte)) continue;
    if (offsets[value] !== undefined) throw new Error(`point ${value} is logged twice`);
    offsets[value] = at;
  }
  const missing = [...offsets.keys()].find((point) => offsets[point] === undefined);
  if (missing !== undefined) throw new Error(`point ${missing} is not logged`);
  return offsets;
}

/** First place of the source map at or after byte `offset`: the pass's own calls have none. */
function placeFrom(map, offset, end) {
  for (let at = offset; at < end; at++) {
    const entry = map.findEntry(0, at);
    if (entry.generatedColumn >= offset && entry.originalSource) {
      return { source: entry.originalSource, line: entry.originalLine + 1 };
    }
  }
  return undefined;
}

/** The place (`source`, `line` from 1) of every point of an instrumented module; its index is the point's number. */
export function placesOf(wasm, sourceMap) {
  const map = new SourceMap(sourceMap);
  return offsetsOf(wasm).map((offset, point) => {
    const place = placeFrom(map, offset, wasm.length);
    if (!place) throw new Error(`point ${point} has no place in the source map`);
    return place;
  });
}
