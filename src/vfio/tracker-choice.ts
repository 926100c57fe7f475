/** Where a VMM gets the dirty pages of its devices from. */
export type DirtySource =
  /** The devices' own logs, all of them, ORed. */
  | 'devices'
  /** The container, for all devices: type1, or the HWPTs of an iommufd. */
  | 'container'
  /** Nowhere: all of RAM is dirty at every look. */
  | 'none';

/** What a VMM has found out about the devices of a container. */
export interface TrackingAbilities {
  /** For each device whether it has DMA logging (a PROBE of DMA_LOGGING_START for SET succeeds). */
  readonly devices: readonly { readonly dmaLogging: boolean }[];
  /** Whether the container tracks: type1 does, an iommufd where one of its HWPTs has been made for dirty tracking. */
  readonly containerTracks: boolean;
  /** QEMU's device property `device-dirty-page-tracking`: whether the devices' logs may be used. Default true. */
  readonly deviceLogging?: boolean;
}

/** What is used, and the reason in words. */
export interface TrackerChoice {
  readonly source: DirtySource;
  readonly why: string;
}

/**
 * Which dirty tracking QEMU uses (hw/vfio/container.c and listener.c): the devices' logs only if every device has one,
 * else the container's for all of them, else none. Without devices: their logs, of which there are none.
 */
export function chooseTracker({ devices, containerTracks, deviceLogging = true }: TrackingAbilities): TrackerChoice {
  const without = devices.filter(({ dmaLogging }) => !dmaLogging).length;
  if (deviceLogging && without === 0) {
    return { source: 'devices', why: `all of ${devices.length} devices log their own DMA` };
  }
  const one = `of ${devices.length} devices ${without} ${without === 1 ? 'has' : 'have'} no log of DMA`;
  const reason = deviceLogging ? one : "the devices' own logs are switched off";
  if (containerTracks) return { source: 'container', why: `${reason}, so that the container tracks for all` };
  return { source: 'none', why: `${reason}, and the container does not track: all of RAM counts as dirty` };
}
