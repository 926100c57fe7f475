import type { CompareResult, OptionsResult } from '../compare/result.ts';
import { formatBytes, formatCount, formatDuration, formatLeaf, formatRate } from '../units/quantity.ts';
import { wrap } from './wrap.ts';

/** Lines above the table: the input, what was done with it, and the set-up that the rows share. */
export function heading(result: CompareResult, width: number): string[] {
  const { input, options } = result;
  const events =
    `${printable(input.name)}: ${formatBytes(input.ramBytes)} RAM, ${formatCount(input.events)} ${input.mappings ? 'events' : 'DMA events'}, ` +
    `of which ${formatCount(input.writeEvents)} write ${formatBytes(input.bytesWritten)} ` +
    `to ${formatCount(input.pagesWritten)} distinct pages of 4 KiB`;
  return [
    ...wrap(events, width, 'Input      '),
    ...(input.mappings ? wrap(guestMappings(input.mappings), width, 'Mappings   ') : []),
    ...(options.mode === 'windows'
      ? wrap(windowsPlan(options), width, 'Windows    ')
      : wrap(migrationPlan(options), width, 'Migration  ')),
    ...wrap(setup(options), width, 'Set-up     '),
    ...(options.qemu?.chosen ?? []).flatMap(({ tracker, uses, why }) =>
      wrap(`${printable(tracker)} comes down to ${printable(uses)}: ${printable(why)}`, width, 'QEMU       '),
    ),
  ];
}

function guestMappings({ events, faults }: NonNullable<CompareResult['input']['mappings']>): string {
  const met = 'DMA events that met no mapping, or not the right, and landed only up to there';
  return `events that map or unmap: ${formatCount(events)}; ${met}: ${formatCount(faults)}`;
}

/** Names come from files and command lines: a control character in one must not reach the terminal. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '?');
}

function migrationPlan(options: OptionsResult): string {
  return [
    `${options.loop}, ${migrationStart(options)}`,
    `link ${formatRate(options.linkBitsPerSecond)}`,
    `downtime limit ${formatDuration(options.downtimeLimitNs)}`,
    `cap ${formatDuration(options.capNs)}`,
    ...(options.deviceState === null ? [] : [`device state ${printable(options.deviceState)}`]),
    options.cpuLog
      ? "pages dirtied by the guest's CPUs included"
      : "no log of the guest's CPUs: only device writes count",
  ].join('; ');
}

function migrationStart({ phase, repeatPhase, startNs }: OptionsResult): string {
  const at = formatDuration(startNs);
  if (phase === null) return `from ${at} of the recording`;
  const then = repeatPhase ? 'repeated until the verdict' : 'after which the recording goes on';
  return `from phase ${printable(phase)} (at ${at}), ${then}`;
}

function windowsPlan({ windowNs }: OptionsResult): string {
  const interval = windowNs === null ? '' : ` every ${formatDuration(windowNs)}`;
  return `no migration; dirty state read and cleared${interval} through the whole recording`;
}

function setup({ setup, pageSize, iotlb, seed }: OptionsResult): string {
  const order = seed === 0 ? '' : `; seed ${seed}`;
  return (
    `${printable(setup).replace(/[.;]$/, '')}; device log pages ${formatLeaf(pageSize)}; ` +
    `IOTLB ${iotlb.sets} sets x ${iotlb.ways} ways, ${iotlb.replacement.toUpperCase()}${order}`
  );
}
