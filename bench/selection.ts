import type { Area, Bench } from './case.ts';

/** What to run: an area (`bitmap`), or those of its cases and claims whose names hold a text (`bitmap/mark`). */
export interface Selection {
  readonly area: Area;
  /** Undefined: all. */
  readonly texts: readonly string[] | undefined;
}

/** What `names` choose of `areas`, in the order of `areas`; all, where there are none. Throws a RangeError for an unknown area. */
export function select(areas: readonly Area[], names: readonly string[]): Selection[] {
  for (const name of names) {
    const [wanted] = name.split('/', 1);
    if (areas.some((area) => area.name === wanted)) continue;
    throw new RangeError(`'${wanted}' is no area; there are ${areas.map((area) => area.name).join(', ')}`);
  }
  if (names.length === 0) return areas.map((area) => ({ area, texts: undefined }));
  return areas.flatMap((area) => {
    const own = names.filter((name) => name === area.name || name.startsWith(`${area.name}/`));
    if (own.length === 0) return [];
    const whole = own.includes(area.name);
    return [{ area, texts: whole ? undefined : own.map((name) => name.slice(area.name.length + 1)) }];
  });
}

/** The cases and claims of `bench` that `texts` choose. Throws a RangeError where there are none. */
export function narrow(bench: Bench, texts: Selection['texts'], area: string): Bench {
  if (!texts || bench.absent !== undefined) return bench;
  const chosen = ({ name }: { readonly name: string }) => texts.some((text) => name.includes(text));
  const cases = bench.cases.filter(chosen);
  const claims = bench.claims.filter(chosen);
  const sweeps = (bench.sweeps ?? []).filter(chosen);
  if (cases.length + claims.length + sweeps.length > 0) return { ...bench, cases, claims, sweeps };
  const names = [...bench.cases, ...bench.claims, ...(bench.sweeps ?? [])].map(({ name }) => name).join(', ');
  throw new RangeError(`${area}: no name holds '${texts.join("' or '")}'; the names are ${names}`);
}
