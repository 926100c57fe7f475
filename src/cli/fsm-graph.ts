import { STATE_NAMES, streamOf, type DeviceState } from '../vfio/device-state.ts';
import { sessionOn, type DriverArc } from '../vfio/driver-arcs.ts';

/** A way through the machine: its arcs in order, none where it begins at its end. */
export interface FsmPath {
  readonly from: DeviceState;
  readonly to: DeviceState;
  readonly arcs: readonly DriverArc[];
}

const SESSION = { opens: 'stream begins', stays: 'stream goes on', ends: 'stream ends' };

function statesOf(arcs: readonly DriverArc[]): DeviceState[] {
  return [...new Set(arcs.flatMap(({ from, to }) => [from, to]))].sort((a, b) => a - b);
}

/** What an arc is called: its place on the path, and what becomes of the stream. */
function labelOf(arc: DriverArc, path: FsmPath | undefined): string {
  const place = path ? path.arcs.indexOf(arc) + 1 : 0;
  const session = sessionOn(arc);
  return [...(place > 0 ? [`${place}.`] : []), ...(session ? [SESSION[session]] : [])].join(' ');
}

/** The machine as Graphviz draws it; states with a data stream are boxes. */
export function fsmDot(arcs: readonly DriverArc[], path: FsmPath | undefined): string {
  const nodes = statesOf(arcs).map((state) => {
    const end = path && (state === path.from || state === path.to);
    return `  ${STATE_NAMES[state]} [shape=${streamOf(state) ? 'box' : 'ellipse'}${end ? ', penwidth=3' : ''}];`;
  });
  const edges = arcs.map((arc) => {
    const bold = path?.arcs.includes(arc) ? ', penwidth=3' : '';
    return `  ${STATE_NAMES[arc.from]} -> ${STATE_NAMES[arc.to]} [label="${labelOf(arc, path)}"${bold}];`;
  });
  const error = ['  ERROR [style=dashed];', '  ERROR -> RUNNING [label="reset", style=dashed];'];
  return `${['digraph migration {', ...nodes, ...edges, ...error, '}'].join('\n')}\n`;
}

/** The machine as a Mermaid state diagram; of the states of a path those at its ends and on it are bold. */
export function fsmMermaid(arcs: readonly DriverArc[], path: FsmPath | undefined): string {
  const edges = arcs.map((arc) => {
    const label = labelOf(arc, path);
    return `  ${STATE_NAMES[arc.from]} --> ${STATE_NAMES[arc.to]}${label ? `: ${label}` : ''}`;
  });
  const bold = path && [path.from, ...path.arcs.map(({ to }) => to)].map((state) => STATE_NAMES[state]);
  return `${[
    'stateDiagram-v2',
    '  [*] --> RUNNING',
    ...edges,
    '  ERROR --> RUNNING: reset',
    ...(bold ? ['  classDef path stroke-width:3px,font-weight:bold', `  class ${bold.join(', ')} path`] : []),
  ].join('\n')}\n`;
}
