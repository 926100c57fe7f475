/** The published next states by flags: `from -> to 0..7`, `x` for EINVAL. */
export const NEXT_STATES: Readonly<Record<number, Readonly<Record<number, string>>>> = {
  1: {
    1: 'x 1 2 3 4 x x x',
    2: 'x 1 2 1 1 x x x',
    3: 'x 1 1 3 1 x x x',
    4: 'x 1 1 1 4 x x x',
  },
  3: {
    1: 'x 1 5 3 4 5 x x',
    2: 'x 5 2 5 5 5 x x',
    3: 'x 1 1 3 1 1 x x',
    4: 'x 1 1 1 4 1 x x',
    5: 'x 1 2 1 1 5 x x',
  },
  5: {
    1: 'x 1 2 3 4 x 2 x',
    2: 'x 1 2 1 1 x 6 x',
    3: 'x 1 1 3 1 x x x',
    4: 'x 1 1 1 4 x 1 x',
    6: 'x 2 2 3 2 x 6 x',
  },
  7: {
    1: 'x 1 5 3 4 5 5 5',
    2: 'x 5 2 5 5 5 6 5',
    3: 'x 1 1 3 1 1 x x',
    4: 'x 1 1 1 4 1 1 1',
    5: 'x 1 2 1 1 5 2 7',
    6: 'x 2 2 7 2 2 6 7',
    7: 'x 5 5 3 5 5 6 7',
  },
};

/**
 * Whole paths by flags, states in the order of the head: `/` between states, `+` where the request returns a new stream,
 * `.` for nothing to do, `x` for EINVAL.
 */
export const PATHS: Readonly<Record<number, string>> = {
  1: `
         STOP  RUN       SC        RES
    STOP .     RUN       SC+       RES+
    RUN  STOP  .         STOP/SC+  STOP/RES+
    SC   STOP  STOP/RUN  .         STOP/RES+
    RES  STOP  STOP/RUN  STOP/SC+  .`,
  3: `
         STOP      RUN            SC             RES             RP2P
    STOP .         RP2P/RUN       SC+            RES+            RP2P
    RUN  RP2P/STOP .              RP2P/STOP/SC+  RP2P/STOP/RES+  RP2P
    SC   STOP      STOP/RP2P/RUN  .              STOP/RES+       STOP/RP2P
    RES  STOP      STOP/RP2P/RUN  STOP/SC+       .               STOP/RP2P
    RP2P STOP      RUN            STOP/SC+       STOP/RES+       .`,
  5: `
         STOP      RUN       SC        RES            PC
    STOP .         RUN       SC+       RES+           RUN/PC+
    RUN  STOP      .         STOP/SC+  STOP/RES+      PC+
    SC   STOP      STOP/RUN  .         STOP/RES+      x
    RES  STOP      STOP/RUN  STOP/SC+  .              STOP/RUN/PC+
    PC   RUN/STOP  RUN       SC        RUN/STOP/RES+  .`,
  7: `
          STOP           RUN            SC             RES                 RP2P       PC                 PCP2P
    STOP  .              RP2P/RUN       SC+            RES+                RP2P       RP2P/RUN/PC+       RP2P/PCP2P+
    RUN   RP2P/STOP      .              RP2P/STOP/SC+  RP2P/STOP/RES+      RP2P       PC+                RP2P/PCP2P+
    SC    STOP           STOP/RP2P/RUN  .              STOP/RES+           STOP/RP2P  x                  x
    RES   STOP           STOP/RP2P/RUN  STOP/SC+       .                   STOP/RP2P  STOP/RP2P/RUN/PC+  STOP/RP2P/PCP2P+
    RP2P  STOP           RUN            STOP/SC+       STOP/RES+           .          RUN/PC+            PCP2P+
    PC    RUN/RP2P/STOP  RUN            PCP2P/SC       RUN/RP2P/STOP/RES+  RUN/RP2P   .                  PCP2P
    PCP2P RP2P/STOP      RP2P/RUN       SC             RP2P/STOP/RES+      RP2P       PC                 .`,
};

/** The arcs that a driver has to perform, by flags. */
export const ARCS: Readonly<Record<number, string>> = {
  1: 'STOP>RUN STOP>SC STOP>RES RUN>STOP SC>STOP RES>STOP',
  3: 'STOP>SC STOP>RES STOP>RP2P RUN>RP2P SC>STOP RES>STOP RP2P>STOP RP2P>RUN',
  5: 'STOP>RUN STOP>SC STOP>RES RUN>STOP RUN>PC SC>STOP RES>STOP PC>RUN PC>SC',
  7:
    'STOP>SC STOP>RES STOP>RP2P RUN>RP2P RUN>PC SC>STOP RES>STOP RP2P>STOP RP2P>RUN RP2P>PCP2P PC>RUN PC>PCP2P ' +
    'PCP2P>SC PCP2P>RP2P PCP2P>PC',
};

/** The abbreviations used here, by state number. */
export const ABBREVIATIONS = ['ERR', 'STOP', 'RUN', 'SC', 'RES', 'RP2P', 'PC', 'PCP2P'];

/** The flags that a driver may have. */
export const FLAG_SETS = [1, 3, 5, 7];

/** A request of the table of paths. */
export interface PublishedPath {
  readonly flags: number;
  readonly from: number;
  readonly to: number;
  /** The states passed; undefined: refused. */
  readonly path: readonly number[] | undefined;
  /** Whether a new stream is returned. */
  readonly opens: boolean;
}

/** PATHS, read. */
export const PUBLISHED_PATHS: readonly PublishedPath[] = FLAG_SETS.flatMap((flags) => {
  const [head, ...rows] = PATHS[flags]
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
  const number = (name: string) => ABBREVIATIONS.indexOf(name);
  return rows.flatMap(([from, ...cells]) =>
    cells.map((cell, i) => ({
      flags,
      from: number(from),
      to: number(head[i]),
      path: cell === 'x' ? undefined : cell === '.' ? [] : cell.replace('+', '').split('/').map(number),
      opens: cell.endsWith('+'),
    })),
  );
});
