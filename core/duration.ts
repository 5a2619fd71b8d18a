import { z } from 'zod'

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const
const pattern = /^(\d+(?:\.\d+)?)(ms|s|m|h|d|w)$/

/** A length of time as it is written in a config: `'30s'`, `'5m'`, `'1h'`, `'14d'`. */
export type Duration = `${number}${keyof typeof units}`

/** Milliseconds of a duration. Throws a plain Error for anything else. */
export function milliseconds(text: string): number {
  const match = pattern.exec(text)
  if (!match) throw new Error(`"${text}" is not a duration: write a number and a unit, such as "30s", "5m", "1h" or "14d"`)
  return Number(match[1]) * units[match[2] as keyof typeof units]
}

/** The schema of a duration option; its output is milliseconds. */
export const duration = () =>
  z
    .custom<Duration>(value => typeof value === 'string' && pattern.test(value), {
      error: 'expected a duration such as "30s", "5m", "1h" or "14d"',
    })
    .transform(milliseconds)

const sizes = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 } as const
const sizePattern = /^(\d+(?:\.\d+)?)([KMGT])$/

/** An amount of memory or storage as it is written in a config: `'512M'`, `'4G'` (powers of 1024), or a number of bytes. */
export type Size = `${number}${keyof typeof sizes}` | number

/** The schema of a size option; its output is bytes. */
export const size = () =>
  z
    .custom<Size>(value => (typeof value === 'number' ? Number.isInteger(value) && value > 0 : sizePattern.test(String(value))), {
      error: 'expected a size such as "512M" or "4G", or a whole number of bytes',
    })
    .transform(value => {
      if (typeof value === 'number') return value
      const match = sizePattern.exec(value)
      return Math.round(Number(match?.[1]) * sizes[match?.[2] as keyof typeof sizes])
    })

/** "3 minutes", "2 hours": a length of time for a person. */
export function spoken(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  const [count, unit] =
    seconds < 60
      ? [seconds, 'second']
      : seconds < 3600
        ? [Math.round(seconds / 60), 'minute']
        : seconds < 172_800
          ? [Math.round(seconds / 3600), 'hour']
          : [Math.round(seconds / 86_400), 'day']
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}
