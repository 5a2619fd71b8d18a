import type { Entry } from './connection.ts'

type Says = (value: string, now: number) => boolean

const day = 86_400_000
/** 1601-01-01 in milliseconds: Active Directory counts tenths of microseconds from there. */
const windowsEpoch = Date.UTC(1601, 0, 1)

/** What says that an account is none any more. What cannot be read says so too. */
const says = {
  /** OpenLDAP's ppolicy: locked for good. Other values are the directory's own pause after wrong passwords, which must not end sessions. */
  pwdAccountLockedTime: value => value === '000001010000Z',
  /** Active Directory: ACCOUNTDISABLE. */
  userAccountControl: value => !/^-?\d+$/.test(value) || (Number(value) & 2) !== 0,
  /** Active Directory: both values mean never. */
  accountExpires: (value, now) =>
    value !== '0' && value !== '9223372036854775807' && !(windowsEpoch + Number(value) / 10_000 > now),
  /** 389 Directory Server, FreeIPA. */
  nsAccountLock: value => value.toLowerCase() !== 'false',
  /** eDirectory. */
  loginDisabled: value => value.toLowerCase() !== 'false',
  /** shadow(5), days since 1970; as pam_unix reads it. */
  shadowExpire: (value, now) => value !== '-1' && !(Number(value) * day > now),
} satisfies Record<string, Says>

export type Disabler = keyof typeof says

export const disablers = Object.keys(says) as [Disabler, ...Disabler[]]

/** The attribute that says that this account is disabled or expired; undefined when none of these does. */
export function disabledBy(entry: Entry, among: readonly Disabler[], now = Date.now()): Disabler | undefined {
  return among.find(name => entry.texts(name).some(value => says[name](value.trim(), now)))
}
