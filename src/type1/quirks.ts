import type { Quirks } from '../iommu/quirks.ts';
import type { LinuxQuirk } from '../uapi/linux-quirk.ts';

/** The quirks of type1 (drivers/vfio/vfio_iommu_type1.c); each has a test that shows both sides. */
export const TYPE1_QUIRKS = [
  {
    name: 'stale bits after a read',
    strict: 'A read shifts into a copy: the next report holds what was dirtied since.',
    'linux-6.12':
      'A mapping that begins inside a word has its bitmap shifted in place; bits pushed beyond its end survive, and later reports show them as pages behind the mapping.',
    test: 'stale bits after a read',
  },
  {
    name: 'fault while a bitmap is copied out',
    strict: 'EFAULT with every bitmap as it was: nothing is lost, and the next report is right.',
    'linux-6.12':
      'EFAULT leaves the mapping shifted and mixed with the words read from the user, and the mappings before it cleared: later reports miss pages and misplace others.',
    test: 'fault while a bitmap is copied out',
  },
  {
    name: 'words of the user bitmap',
    strict: "Bits are set, never cleared: what the caller's bitmap holds stays.",
    'linux-6.12':
      "A mapping that begins at a word overwrites the caller's words; any other keeps the whole first word and overwrites the rest.",
    test: 'words of the user bitmap',
  },
  {
    name: 'top of the address space',
    strict: 'A mapping may end at 2^64, and is found, reported and unmapped as any other.',
    'linux-6.12':
      'Such a mapping can be made, more than once, but no look-up finds it: no EEXIST, no pins; UNMAP removes 0 bytes, a GET_BITMAP that reaches it is EINVAL, and UNMAP with ALL removes it only together with a lower one. Fixed with uapi next.',
    test: 'top of the address space',
  },
  {
    name: 'fault in the middle of an unmap',
    strict: 'UNMAP with GET_DIRTY_BITMAP writes all of the bitmap first: EFAULT, and everything is still mapped.',
    'linux-6.12': 'EFAULT with the mappings before the fault unmapped and the others mapped; size says nothing.',
    test: 'fault in the middle of an unmap',
  },
  {
    name: 'device that does not unpin',
    strict: 'UNMAP is EBUSY after eleven notifications in vain, with nothing unmapped.',
    'linux-6.12':
      'UNMAP has removed the mappings below; then the kernel stops on a BUG, for which this model throws EBUSY.',
    test: 'device that does not unpin',
  },
  {
    name: 'unmap from inside a mapping, version 1',
    strict: 'EINVAL, as in version 2.',
    'linux-6.12': 'Success with size 0, and nothing behind it is looked at.',
    test: 'unmap from inside a mapping, version 1',
  },
  {
    name: 'unmap with a read-only request',
    strict: 'EFAULT before anything is unmapped, where the size cannot be written back.',
    'linux-6.12': 'EFAULT after everything was unmapped.',
    test: 'unmap with a read-only request',
  },
  {
    name: 'bits of a failed pin',
    strict: 'A pin_pages that fails marks nothing.',
    'linux-6.12': 'The pages that it had pinned before it failed stay marked.',
    test: 'bits of a failed pin',
  },
  {
    name: 'DMA before the first pin',
    strict:
      'A group whose first pin_pages ends its time without pinned scope leaves everything marked once: its DMA until then is unknown.',
    'linux-6.12': 'What it wrote since the last report goes unreported.',
    test: 'DMA before the first pin',
  },
  {
    name: 'unpinning what is not pinned',
    strict: 'EINVAL, with nothing unpinned.',
    'linux-6.12': 'Ignored, page by page; the first page that is not mapped ends it.',
    test: 'unpinning what is not pinned',
  },
  {
    name: 'page size 0',
    strict: 'EINVAL.',
    'linux-6.12': 'EINVAL too: undefined in the kernel, which looks for the lowest set bit of 0.',
    test: 'page size 0',
  },
] as const satisfies readonly LinuxQuirk[];

/** The name of a quirk. */
export type Type1QuirkName = (typeof TYPE1_QUIRKS)[number]['name'];

/** Whether the profile has a quirk; those that later kernels have fixed are gone with uapi `next`. */
export function hasQuirk(name: Type1QuirkName, quirks: Quirks, next: boolean): boolean {
  return quirks === 'linux-6.12' && !(next && name === 'top of the address space');
}
