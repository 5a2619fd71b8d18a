import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { HubError } from '../errors.ts'
import type { Json, Log } from '../plugin.ts'
import type { UserRecord } from '../store/records.ts'
import { fingerprint } from './secrets.ts'

/**
 * What authenticators keep about users, such as a provider's tokens: encrypted at rest, in the user's record, and gone with it. The
 * first key writes, all of them read. AES-256-GCM (NIST SP 800-38D) with 96 random bits as its nonce for each writing; bound to
 * the user, so that nobody gets another's by a copy of the text.
 */
export interface AuthStates {
  /** Is there a key? Without one nothing is kept. */
  readonly kept: boolean
  /** As it is written down; null without a key. Throws `invalid` for what JSON cannot carry and for more than 256 KiB. */
  seal(userId: string, state: Json): string | null
  /** undefined: nothing is kept, or what is kept was written with a key that is there no more. */
  open(user: Pick<UserRecord, 'id' | 'name' | 'authState'>): Json | undefined
  /** Was this written with another key than the first? */
  isOld(sealed: string): boolean
}

const mostBytes = 256 * 1024

/** Keys of 32 bytes. */
export function createAuthStates({ keys: given, log }: { keys: readonly Buffer[]; log: Log }): AuthStates {
  const keys = given.map(key => ({ key, id: fingerprint(key.toString('hex')).slice(0, 8) }))
  const [first] = keys

  return {
    kept: first !== undefined,

    seal(userId, state) {
      if (!first) return null
      const text: string | undefined = JSON.stringify(state)
      if (text === undefined || Buffer.byteLength(text) > mostBytes)
        throw new HubError('invalid', 'What a sign-in is to keep has to be JSON, of at most 256 KiB.')
      const nonce = randomBytes(12)
      const cipher = createCipheriv('aes-256-gcm', first.key, nonce).setAAD(Buffer.from(userId))
      const sealed = Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()])
      return `1.${first.id}.${sealed.toString('base64url')}`
    },

    open({ id, name, authState }) {
      if (authState === undefined || !first) return undefined
      const [version, keyId, text = ''] = authState.split('.')
      const sealed = Buffer.from(text, 'base64url')
      for (const { key } of keys.filter(({ id }) => version === '1' && id === keyId)) {
        try {
          const cipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, 12), { authTagLength: 16 })
          cipher.setAAD(Buffer.from(id)).setAuthTag(sealed.subarray(-16))
          return JSON.parse(Buffer.concat([cipher.update(sealed.subarray(12, -16)), cipher.final()]).toString('utf8'))
        } catch {
          // Node says no more than that it does not fit; what that means is the same as for an unknown key.
        }
      }
      log.warn('what a sign-in has kept about a user cannot be read: its key is not in authState.keys, or it was changed', {
        user: name,
      })
      return undefined
    },

    isOld: sealed => first !== undefined && sealed.split('.')[1] !== first.id,
  }
}
