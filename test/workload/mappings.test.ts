import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { Oracle } from '../../src/oracle/oracle.ts';
import { MappedLanding } from '../../src/oracle/mapped-landing.ts';
import { GuestMappings } from '../../src/workload/guest-mappings.ts';
import { openTrace } from '../../src/workload/open-trace.ts';
import { MAP_OP, UNMAP_OP, type Recording } from '../../src/workload/recording.ts';
import { survey } from '../../src/workload/survey.ts';
import { runs } from '../runs.ts';

const PAGE = 4096;
const RAM_PAGES = 16;
const IOVA_PAGES = 8;

interface Event {
  readonly us: number;
  readonly device: number;
  readonly kind: 'map' | 'unmap' | 'wblob' | 'rblob';
  /** Bytes; of maps whole pages. */
  readonly iova: number;
  readonly length: number;
  readonly gpa: number;
  readonly access: number;
}

const RIGHTS = ['', 'r', 'w', 'rw'];

function lineOf({ us, device, kind, iova, length, gpa, access }: Event): string {
  const all = [us, `dev${device}`, kind, `0x${iova.toString(16)}`, length];
  return (kind === 'map' ? [...all, `0x${gpa.toString(16)}`, RIGHTS[access]] : all).join(',');
}

function open(lines: readonly string[]): Promise<Recording> {
  const text = new TextEncoder().encode(lines.join('\n'));
  return openTrace(text, { name: 'x.iova.csv', ramBytes: RAM_PAGES * PAGE });
}

/** A page table as plain as can be: a page of RAM and its rights by device and page. */
class Pages {
  readonly #pages = new Map<string, { page: number; access: number }>();
  readonly written = new Set<number>();
  bytes = 0;
  faults = 0;

  at(device: number, page: number) {
    return this.#pages.get(`${device}/${page}`);
  }

  set(device: number, page: number, to: { page: number; access: number } | undefined): void {
    if (to) this.#pages.set(`${device}/${page}`, to);
    else this.#pages.delete(`${device}/${page}`);
  }

  dma({ device, iova, length, kind }: Event): void {
    const need = kind === 'wblob' ? 2 : 1;
    for (let byte = iova; byte < iova + length; byte++) {
      const to = this.at(device, Math.floor(byte / PAGE));
      if (!to || !(to.access & need)) {
        this.faults++;
        return;
      }
      if (need !== 2) continue;
      this.written.add(to.page);
      this.bytes++;
    }
  }
}

const draft = fc.record({
  dt: fc.nat(3),
  device: fc.nat(1),
  kind: fc.constantFrom('map', 'map', 'unmap', 'wblob', 'wblob', 'rblob'),
  page: fc.nat(IOVA_PAGES - 1),
  pages: fc.integer({ min: 1, max: 3 }),
  to: fc.nat(RAM_PAGES - 3),
  access: fc.integer({ min: 1, max: 3 }),
  offset: fc.nat(PAGE - 1),
  length: fc.nat(2 * PAGE),
});

type Draft = typeof draft extends fc.Arbitrary<infer T> ? T : never;

/** The drafts that make sense, and what the last state of a plain model is. */
function play(drafts: readonly Draft[]): { events: Event[]; model: Pages } {
  const model = new Pages();
  let us = 0;
  const events = drafts.flatMap((each): Event[] => {
    const { device, kind, page, to, access } = each;
    us += each.dt;
    if (kind === 'wblob' || kind === 'rblob') {
      const event = {
        us,
        device,
        kind,
        iova: page * PAGE + each.offset,
        length: each.length,
        gpa: 0,
        access: 0,
      } as const;
      model.dma(event);
      return [event];
    }
    const range = Array.from({ length: each.pages }, (_, i) => i);
    const fits = range.every((i) => (model.at(device, page + i) === undefined) === (kind === 'map'));
    if (!fits) return [];
    for (const i of range) model.set(device, page + i, kind === 'map' ? { page: to + i, access } : undefined);
    return [{ us, device, kind, iova: page * PAGE, length: each.pages * PAGE, gpa: to * PAGE, access }] as Event[];
  });
  return { events, model };
}

/** All events of a reading, as copies. */
async function collect(recording: Recording, options = {}) {
  const found = [];
  for await (const segment of recording.segments(options)) {
    if (segment.kind === 'cpu') continue;
    for (let i = 0; i < segment.count; i++) {
      const maps = segment.op[i] === MAP_OP;
      found.push({
        timeNs: segment.timeNs[i],
        device: recording.devices[segment.device[i]],
        op: segment.op[i],
        iova: segment.address[i],
        length: segment.length[i],
        ...(maps ? { gpa: segment.mapping!.gpa[i], access: segment.mapping!.access[i] } : {}),
      });
    }
  }
  return found;
}

const OP_NUMBERS = { wblob: 0, rblob: 3, map: MAP_OP, unmap: UNMAP_OP };

function expected({ us, device, kind, iova, length, gpa, access }: Event) {
  const event = { timeNs: us * 1000, device: `dev${device}`, op: OP_NUMBERS[kind], iova, length };
  return kind === 'map' ? { ...event, gpa, access } : event;
}

describe('a trace with mappings', () => {
  it('is read as it was written, and lands where a plain model says', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(draft, { maxLength: 40 }), async (drafts) => {
        const { events, model } = play(drafts);
        const recording = await open(['t_us,dev,op,iova,len,gpa,access', ...events.map(lineOf)]);
        const oracle = new Oracle(RAM_PAGES);
        const landing = new MappedLanding(oracle);
        for await (const segment of recording.segments()) {
          if (segment.kind === 'dma') landing.events(segment, 0, segment.count);
        }
        // Equal sets of pages: as a report, the model's misses nothing and holds nothing else.
        const written = new Uint32Array(1);
        for (const page of model.written) written[0] |= 1 << page;
        oracle.begin();
        const { missed, over } = oracle.judge(written);
        const figures = await survey(recording);
        expect({
          events: await collect(recording),
          faults: [landing.faults, figures.mappings?.faults],
          missed,
          over,
          written: [figures.pagesWritten, figures.bytesWritten],
        }).toEqual({
          events: events.map(expected),
          faults: [model.faults, model.faults],
          missed: 0,
          over: 0,
          written: [model.written.size, model.bytes],
        });
      }),
      { numRuns: runs(60) },
    );
  });

  it('read from a later moment on, begins with the mappings of that moment', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(draft, { maxLength: 30 }), fc.integer({ min: 1, max: 40 }), async (drafts, us) => {
        const { events } = play(drafts);
        const recording = await open(events.map(lineOf));
        const whole = new GuestMappings();
        const part = new GuestMappings();
        const number = (name: string | undefined) => Number(name?.slice(3));
        const apply = (to: GuestMappings, found: Awaited<ReturnType<typeof collect>>) => {
          for (const { op, device, iova, length, gpa, access } of found) {
            if (op === MAP_OP) to.map(number(device), { iova, gpa: gpa!, length, access: access! });
            if (op === UNMAP_OP) to.unmap(number(device), iova, length);
          }
          return [0, 1].map((device) => pagesOf(to, device));
        };
        const all = await collect(recording);
        const late = await collect(recording, { fromNs: us * 1000 });
        const dma = (found: typeof all) => found.filter(({ op, timeNs }) => op < MAP_OP && timeNs >= us * 1000);
        expect([apply(part, late), dma(late)]).toEqual([apply(whole, all), dma(all)]);
      }),
      { numRuns: runs(60) },
    );
  });

  it('keeps the order of each device where ties are shuffled', async () => {
    const lines = [0, 1].flatMap((device) => [
      `5,dev${device},map,0,4096,${device * PAGE},rw`,
      `5,dev${device},w,0,64`,
      `5,dev${device},unmap,0,4096`,
      `5,dev${device},map,0,4096,${(device + 2) * PAGE},r`,
    ]);
    const recording = await open(lines);
    const of = (found: Awaited<ReturnType<typeof collect>>, name: string) =>
      found.filter(({ device }) => device === name);
    const plain = await collect(recording);
    const orders = await Promise.all([1, 2, 3, 4, 5].map((seed) => collect(recording, { seed })));
    for (const found of orders) {
      expect(of(found, 'dev0')).toEqual(of(plain, 'dev0'));
      expect(of(found, 'dev1')).toEqual(of(plain, 'dev1'));
    }
    expect(orders.some((found) => found.some(({ device }, i) => device !== plain[i].device))).toBe(true);
  });
});

/** The page of RAM, and the rights, of each page of a device's IOVAs. */
function pagesOf(mappings: GuestMappings, device: number): (string | undefined)[] {
  return Array.from({ length: IOVA_PAGES + 3 }, (_, page) => {
    const found = mappings.of(device).find(({ iova, length }) => iova <= page * PAGE && page * PAGE < iova + length);
    return found && `${(found.gpa + page * PAGE - found.iova) / PAGE} ${RIGHTS[found.access]}`;
  });
}

const MAP = '0,a,map,0x1000,8192,0x2000,rw';

test.each<[string, string[], RegExp]>([
  [
    'maps what is mapped',
    [MAP, '1,a,map,0x2000,4096,0,r'],
    /line 2 .*of 4096 bytes at IOVA 0x2000 something is mapped already/,
  ],
  ['unmaps a hole', [MAP, '1,a,unmap,0x2000,8192'], /line 2 .*not all of 8192 bytes at IOVA 0x2000 is mapped/],
  ["unmaps another device's", [MAP, '1,b,unmap,0x1000,8192'], /line 2 .*not all/],
  ['maps beyond RAM', ['0,a,map,0,8192,0xf000,rw'], /line 1 .*0xf000 does not lie in RAM/],
  ['maps no whole pages', ['0,a,map,0x10,4096,0,rw'], /multiples of 4096/],
  ['maps nothing', ['0,a,map,0,0,0,rw'], /len above 0/],
  ['maps to no address', ['0,a,map,0,4096,x,rw'], /gpa is "x"; it must be a whole number/],
  ['maps without a right', ['0,a,map,0,4096,0,x'], /access is "x"; it must be r, w or rw/],
  [
    'maps with too few columns',
    ['0,a,map,0,4096'],
    /5 columns instead of the 7 columns t_us,dev,op,iova,len,gpa,access/,
  ],
  ['has DMA with too many', ['0,a,w,0,1,0,rw'], /7 columns instead of the 5 columns t_us,dev,op,iova,len/],
  ['has an op that is none', ['0,a,remap,0,4096'], /one of wblob, .*, read, map, unmap/],
  ['passes 2^53', ['0,a,w,0x1fffffffffffff,1'], /the IOVAs pass 2\^53/],
])('damage: a trace that %s is refused', async (_, lines, message) => {
  await expect(open(lines).then(survey)).rejects.toThrow(message);
});

test('a plain CSV with mappings is refused, with the format that has them', async () => {
  const trace = new TextEncoder().encode(MAP);
  await expect(openTrace(trace, { name: 'x.csv', ramBytes: 2 ** 20 }).then(survey)).rejects.toThrow(
    /format 'iova-csv'/,
  );
  const named = await openTrace(trace, { name: 'x.csv', format: 'iova-csv', ramBytes: 2 ** 20 });
  expect([named.hasMappings, (await survey(named)).events]).toEqual([true, 1]);
});

test('IOVAs may lie beyond RAM', async () => {
  const lines = ['0,a,map,0xffff0000,4096,0x3000,w', '1,a,w,0xffff0ff8,16', '2,a,r,0xffff0000,8'];
  const figures = await survey(await open(lines));
  expect([figures.bytesWritten, figures.pagesWritten, figures.writeEvents]).toEqual([8, 1, 1]);
});
