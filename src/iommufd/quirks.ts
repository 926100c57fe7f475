import type { LinuxQuirk } from '../uapi/linux-quirk.ts';

/** The quirks of iommufd (drivers/iommu/iommufd); each has a test that shows both sides. */
export const IOMMUFD_QUIRKS = [
  {
    name: 'hole in a dirty query',
    strict: 'EINVAL, found before anything is cleared.',
    'linux-6.12': 'Success: what lies before the hole is reported and cleared, the rest is passed over.',
    test: 'hole in a dirty query',
  },
  {
    name: 'dirty query without tracking',
    strict: 'EINVAL.',
    'linux-6.12': 'Success with an untouched bitmap.',
    test: 'dirty query without tracking',
  },
  {
    name: 'driver error in a dirty query',
    strict: 'The error, with nothing cleared.',
    'linux-6.12': 'Success: areas before it are reported and cleared.',
    test: 'driver error in a dirty query',
  },
  {
    name: 'dirty bitmap that cannot be written',
    strict: 'EFAULT, found before anything is cleared.',
    'linux-6.12': 'Success: the dirty state is cleared, and what falls on such pages of the bitmap is lost.',
    test: 'dirty bitmap that cannot be written',
  },
  {
    name: 'tracking switched on twice',
    strict: 'The second time changes nothing.',
    'linux-6.12': 'Each time wipes what was dirty.',
    test: 'tracking switched on twice',
  },
  {
    name: 'leaf that reaches beyond a dirty query',
    strict: 'Reported clipped to the query, and still dirty afterwards.',
    'linux-6.12': 'Cleared whole: what lies outside the query is forgotten.',
    test: 'leaf that reaches beyond a dirty query',
  },
  {
    name: 'record behind the end of a dirty query',
    strict: 'No bit behind the last one of the query is set.',
    'linux-6.12':
      'A leaf that reaches beyond the query sets bits behind the bitmap, up to the end of the last page pinned for it.',
    test: 'record behind the end of a dirty query',
  },
  {
    name: 'dirty query that begins inside a leaf',
    strict: 'Leaves are met where they lie.',
    'linux-6.12':
      "The leaf's whole size is recorded from the query's start on, and the cursor goes on by that size: bits behind the leaf's end are set, and smaller leaves there are passed over.",
    test: 'dirty query that begins inside a leaf',
  },
  {
    name: 'tracking on an SMMUv3 that is switched off',
    strict: 'Off means off, as for every other IOMMU.',
    'linux-6.12': 'Switching off does nothing: Arm formats log from the start on, and a query reports it.',
    test: 'tracking on an SMMUv3 that is switched off',
  },
  {
    name: 'IOMMUs that track',
    strict: 'Any whose page-table format has dirty bits.',
    'linux-6.12': 'AMD v1, VT-d second stage and Arm stage 1 only: elsewhere DIRTY_TRACKING is EOPNOTSUPP.',
    test: 'IOMMUs that track',
  },
  {
    name: 'tracking HWPT for a PASID of VT-d',
    strict: 'Attached as any other, and so is a nested HWPT over one: what they write is reported.',
    'linux-6.12': 'EINVAL; for a nested HWPT over one that is a later fix, without which what it writes is lost.',
    test: 'tracking HWPT for a PASID of VT-d',
  },
  {
    name: 'unmap that meets an area it cannot have',
    strict: 'All or nothing: ENOENT or EDEADLOCK with every area as it was.',
    'linux-6.12': 'The areas before it are gone when the error is returned.',
    test: 'unmap that meets an area it cannot have',
  },
  {
    name: 'VFIO-compatible map without READ and WRITE',
    strict: 'EINVAL, as type1 has it.',
    'linux-6.12': 'Success: the IOVAs are taken, and every DMA there faults.',
    test: 'VFIO-compatible map without READ and WRITE',
  },
  {
    name: 'page fault that cannot be copied out',
    strict: 'EFAULT, and the fault can still be read.',
    'linux-6.12': 'EFAULT, and every fault that waits is lost: their devices wait for ever. Fixed later.',
    test: 'page fault that cannot be copied out',
  },
  {
    name: 'page responses of which one is wrong',
    strict: 'EINVAL with none taken.',
    'linux-6.12': 'Those before it are taken, and the count says how many; EINVAL where it is the first.',
    test: 'page responses of which one is wrong',
  },
  {
    name: 'page response that cannot be read',
    strict: 'EFAULT with none taken.',
    'linux-6.12':
      'Those before it are taken; where it is the first, the bytes that were not copied are returned as if taken.',
    test: 'page response that cannot be read',
  },
] as const satisfies readonly LinuxQuirk[];
