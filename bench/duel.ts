import type { Bench, Case, Claim } from './case.ts';

/** A claim, and the contestants that only it needs. */
export interface Duel {
  readonly claim: Claim;
  readonly contestants: readonly Case[];
}

/** The same work, done by each of `sides` in its way; the first is the base. */
export function duel(
  name: string,
  work: Pick<Case, 'unit' | 'work' | 'bytes'>,
  sides: Readonly<Record<string, Pick<Case, 'run' | 'before'>>>,
): Duel {
  const labels = Object.keys(sides);
  const contestants = labels.map((label) => ({ ...work, ...sides[label], name: `${name}: ${label}` }));
  return { claim: { name, cases: contestants.map((test) => test.name), labels }, contestants };
}

/** An area that consists of duels. */
export function gather(duels: readonly Duel[]): Bench {
  return {
    cases: [],
    claims: duels.map(({ claim }) => claim),
    contestants: duels.flatMap(({ contestants }) => contestants),
  };
}
