import { IommuError } from '../errno/error.ts';
import {
  IOMMU_OPTION_HUGE_PAGES,
  IOMMU_OPTION_OP_GET,
  IOMMU_OPTION_OP_SET,
  IOMMU_OPTION_RLIMIT_MODE,
  IOMMU_VFIO_IOAS_CLEAR,
  IOMMU_VFIO_IOAS_GET,
  IOMMU_VFIO_IOAS_SET,
  type IommuOption,
  type IommuVfioIoas,
} from '../uapi/iommufd.ts';
import type { StructOf } from '../uapi/struct.ts';
import type { Context } from './context.ts';
import type { Ioas } from './ioas.ts';
import { checkReserved, findIoas } from './ioas-commands.ts';

type Option = StructOf<typeof IommuOption>;

/** Gets or sets a value of 0 or 1. EOPNOTSUPP: neither GET nor SET. */
function getOrSet(op: string, cmd: Option, get: () => boolean, set: (value: bigint) => void): { val64: bigint } {
  if (cmd.op === IOMMU_OPTION_OP_GET) return { val64: get() ? 1n : 0n };
  if (cmd.op !== IOMMU_OPTION_OP_SET) {
    throw new IommuError('EOPNOTSUPP', op, `op is ${cmd.op}; there are SET (0) and GET (1)`);
  }
  set(cmd.val64);
  return { val64: cmd.val64 };
}

/** EINVAL: neither 0 nor 1. */
function switchOf(op: string, value: bigint): boolean {
  if (value <= 1n) return value === 1n;
  throw new IommuError('EINVAL', op, `val64 is ${value}; it must be 0 or 1`);
}

function rlimitMode(op: string, context: Context, cmd: Option) {
  if (cmd.objectId !== 0) {
    throw new IommuError('EOPNOTSUPP', op, `objectId is ${cmd.objectId}; RLIMIT_MODE is of the whole iommufd, so 0`);
  }
  return getOrSet(
    op,
    cmd,
    () => context.rlimitByProcess,
    (value) => {
      if (!context.capSysResource) throw new IommuError('EPERM', op, 'RLIMIT_MODE needs CAP_SYS_RESOURCE');
      if (context.objects.size > 0) {
        throw new IommuError('EBUSY', op, 'RLIMIT_MODE can be set only before the first object is made');
      }
      context.rlimitByProcess = switchOf(op, value);
    },
  );
}

export function option(context: Context, cmd: Option) {
  const op = 'option';
  checkReserved(op, cmd.__reserved);
  if (cmd.optionId === IOMMU_OPTION_RLIMIT_MODE) return rlimitMode(op, context, cmd);
  if (cmd.optionId !== IOMMU_OPTION_HUGE_PAGES) {
    throw new IommuError('EOPNOTSUPP', op, `optionId is ${cmd.optionId}; there are RLIMIT_MODE (0) and HUGE_PAGES (1)`);
  }
  const ioas = findIoas(op, context, 'objectId', cmd.objectId);
  return getOrSet(
    op,
    cmd,
    () => ioas.hugePages,
    (value) => ioas.setHugePages(op, switchOf(op, value)),
  );
}

/** The IOAS behind the VFIO container ioctls. ENODEV: none is set. */
export function compatIoas(op: string, { compatIoas: ioas }: Context): Ioas {
  if (ioas) return ioas;
  throw new IommuError('ENODEV', op, 'no IOAS stands for the VFIO container; set one with vfioIoas');
}

export function vfioIoas(context: Context, cmd: StructOf<typeof IommuVfioIoas>): { ioasId: number } | void {
  const op = 'vfioIoas';
  checkReserved(op, cmd.__reserved);
  switch (cmd.op) {
    case IOMMU_VFIO_IOAS_GET:
      return { ioasId: compatIoas(op, context).id };
    case IOMMU_VFIO_IOAS_SET:
      context.compatIoas = findIoas(op, context, 'ioasId', cmd.ioasId);
      return;
    case IOMMU_VFIO_IOAS_CLEAR:
      context.compatIoas = undefined;
      return;
    default:
      throw new IommuError('EOPNOTSUPP', op, `op is ${cmd.op}; there are GET (0), SET (1) and CLEAR (2)`);
  }
}
