import * as layout from '../../assembly/layout.ts';
import type { Steps } from '../schedule/step.ts';
import { hex, type Address } from '../wasm/address.ts';
import type { Instance } from '../wasm/instance.ts';

/** A change of leaf sizes: of the leaves that map [first, last], both inclusive. */
export interface Resize {
  readonly core: Instance;
  readonly domain: number;
  readonly first: Address;
  readonly last: Address;
  /** log2 of the leaf size wanted. */
  readonly shift: number;
}

function explain({ first, last, shift }: Resize, what: string): (errno: number) => string | undefined {
  const range = `${hex(first)} .. ${hex(last)}`;
  return (errno) => {
    switch (errno) {
      case layout.EINVAL:
        return what === 'split'
          ? `the domain has no leaves of 2^${shift} bytes`
          : `${range} is not leaves of 2^${shift} bytes in all but size: they need that alignment, no hole, equal rights, and addresses that follow each other`;
      case layout.ENOENT:
        return `${range} has a hole; only what is mapped can be split`;
      case layout.ERANGE:
        return `${range} is not within the domain's input addresses`;
      default:
        return undefined;
    }
  };
}

function place(resize: Resize, cursor: Address): void {
  resize.core.store64(layout.MAIL0, cursor);
  resize.core.store64(layout.MAIL1, resize.last);
}

/** Whether all can be split; the range, widened to whole leaves. */
function checkSplit(resize: Resize): Resize {
  const { core, domain, shift, first } = resize;
  place(resize, first);
  core.store64(layout.MAIL2, 0);
  core.store64(layout.MAIL3, first);
  let status: number;
  do status = core.raw.domainCheckSplit(core.base, domain, shift, core.budget);
  while (status === layout.MORE);
  core.check(status, 'domain.split', explain(resize, 'split'));
  return { ...resize, first: core.loadAddress(layout.MAIL3), last: core.loadAddress(layout.MAIL1) };
}

/**
 * Splits the leaves larger than 2^shift bytes; a leaf that reaches beyond the range is split whole. Errors come before any change.
 * Returns the range, widened to whole leaves.
 */
export function* splitSteps(resize: Resize): Steps<Resize> {
  const whole = checkSplit(resize);
  const { core, domain, shift } = whole;
  let cursor = whole.first;
  for (let status: number = layout.MORE; status === layout.MORE;) {
    yield { what: 'split' };
    place(whole, cursor);
    status = core.raw.domainSplit(core.base, domain, shift, core.budget);
    core.check(status, 'domain.split', explain(whole, 'split'));
    cursor = core.loadAddress(layout.MAIL0);
  }
  return whole;
}

function checkMerge(resize: Resize): void {
  const { core, domain, shift } = resize;
  place(resize, resize.first);
  let status: number;
  do status = core.raw.domainCheckMerge(core.base, domain, shift, core.budget);
  while (status === layout.MORE);
  core.check(status, 'domain.merge', explain(resize, 'merge'));
}

/** Merges whole blocks into leaves of 2^shift bytes. Errors come before any change. */
export function* mergeSteps(resize: Resize): Steps<void> {
  const { core, domain, shift } = resize;
  checkMerge(resize);
  let cursor = resize.first;
  for (let status: number = layout.MORE; status === layout.MORE;) {
    yield { what: 'merge' };
    place(resize, cursor);
    status = core.raw.domainMerge(core.base, domain, shift, core.budget);
    core.check(status, 'domain.merge', explain(resize, 'merge'));
    cursor = core.loadAddress(layout.MAIL0);
  }
}
