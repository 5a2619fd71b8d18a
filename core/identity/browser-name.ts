/**
 * "Firefox on Linux": what somebody knows their own browser by, out of its `User-Agent`. Nothing else of that line is kept, and
 * nothing is decided by it: everybody may send what they like.
 */
export function browserName(agent = ''): string {
  const found = (names: readonly [string, RegExp][]) => names.find(([, pattern]) => pattern.test(agent))?.[0]
  const [browser, system] = [found(browsers), found(systems)]
  return [browser ?? 'A browser', ...(system ? [`on ${system}`] : [])].join(' ')
}

/** Most of them also name others that they want to be taken for: the order matters. */
const browsers: readonly [string, RegExp][] = [
  ['Edge', /\bEdg(e|A|iOS)?\//],
  ['Opera', /\bOPR\//],
  ['Firefox', /\b(Firefox|FxiOS)\//],
  ['Chrome', /\b(Chrome|CriOS|HeadlessChrome)\//],
  ['Safari', /\bSafari\//],
]

const systems: readonly [string, RegExp][] = [
  ['Android', /\bAndroid\b/],
  ['iPad', /\biPad\b/],
  ['iPhone', /\biPhone\b/],
  ['Windows', /\bWindows\b/],
  ['macOS', /\bMac OS X\b/],
  ['ChromeOS', /\bCrOS\b/],
  ['Linux', /\bLinux\b/],
]
