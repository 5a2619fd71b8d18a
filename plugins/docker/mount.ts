import type { MountSpec } from 'swarmhub'

/** A mount as the engine takes it. */
export function mount({ type, target, source, readOnly, driver, labels, noCopy, size, mode, propagation }: MountSpec): object {
  return {
    Type: type,
    Target: target,
    Source: source,
    ReadOnly: readOnly ?? false,
    ...(type === 'volume' && {
      VolumeOptions: {
        NoCopy: noCopy ?? false,
        Labels: labels,
        DriverConfig: driver && { Name: driver.name, Options: driver.options },
      },
    }),
    ...(type === 'tmpfs' && { TmpfsOptions: { SizeBytes: size, Mode: mode } }),
    ...(propagation !== undefined && { BindOptions: { Propagation: propagation } }),
  }
}
