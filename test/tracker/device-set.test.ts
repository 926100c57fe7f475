import { describe, expect, it } from 'vitest';
import { parseDeviceSet } from '../../src/tracker/device-set.ts';

function bits(text: string, count: number): string {
  return parseDeviceSet(text, count)
    .map((log) => (log ? 'L' : '-'))
    .join('');
}

describe('a set of devices', () => {
  it.each([
    ['3xlog,1xnolog', 4, 'LLL-'],
    ['1xnolog, log', 5, '-LLLL'],
    ['log', 3, 'LLL'],
    ['nolog', 2, '--'],
    ['1xlog,2xnolog,1xlog', 4, 'L--L'],
    ['2xlog,nolog', 3, 'LL-'],
    ['10xlog', 10, 'LLLLLLLLLL'],
  ])('%s of %i is %s', (text, count, wanted) => {
    expect(bits(text, count)).toBe(wanted);
  });

  it.each([
    ['3xlog,1xnolog', 13, /'3xlog,1xnolog' does not make the 13 devices of the recording; write for example 3xlog/],
    ['5xlog', 4, /does not make the 4 devices/],
    ['9999999999999xlog', 4, /does not make the 4 devices/],
    ['log,1xnolog', 4, /'log' stands for all that are left, so that it must be the last/],
    ['4xlog,nolog', 4, /no device is left for 'nolog' in '4xlog,nolog'; there are 4/],
    ['0xlog,4xnolog', 4, /'0xlog' in '0xlog,4xnolog' is no entry/],
    ['', 4, /'' in '' is no entry/],
    ['3xlog,', 3, /'' in '3xlog,' is no entry/],
    ['3 x log', 3, /no entry/],
    ['3xLog', 3, /no entry/],
    ['-1xlog', 3, /no entry/],
    ['log', 0, /no device is left for 'log'/],
  ])('%j of %i is refused', (text, count, message) => {
    expect(() => parseDeviceSet(text, count)).toThrow(message);
    expect(() => parseDeviceSet(text, count)).toThrow(expect.objectContaining({ name: 'UsageError' }));
  });
});
