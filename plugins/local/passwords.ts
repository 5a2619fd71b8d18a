import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { HubError } from 'swarmhub'
import { z } from 'zod'
import { common } from './common.ts'
import { createFairQueue } from './fair-queue.ts'

/** What is kept of a password: scrypt's cost, its salt and its key, each password with its own. */
export const kept = z.strictObject({
  n: z
    .int()
    .min(2)
    .max(2 ** 20),
  r: z.int().min(1).max(32),
  p: z.int().min(1).max(32),
  salt: z.base64(),
  key: z.base64().min(44),
})
export type Kept = z.infer<typeof kept>

export type Cost = Pick<Kept, 'n' | 'r' | 'p'>

/** Bytes. */
const longest = 1024
const limits = { atOnce: 2, waiting: 200, patience: 12_000 }

/** Who asks: their hashes wait in one line, see fair-queue.ts. */
export interface Asking {
  from?: string
  signal?: AbortSignal
}

/** Passwords are hashed here and nowhere else: two at a time, 200 waiting, more are told to come back (`busy`). */
export function createPasswords(cost: Cost = { n: 2 ** 15, r: 8, p: 3 }) {
  const take = createFairQueue(limits)
  const derive = (password: string, salt: Buffer, { n, r, p }: Cost, { from = '', signal }: Asking = {}) =>
    take(from, () => {
      signal?.throwIfAborted()
      return new Promise<Buffer>((resolve, reject) => {
        const done = (error: Error | null, key: Buffer) => (error ? reject(error) : resolve(key))
        scrypt(password.normalize('NFKC'), salt, 32, { N: n, r, p, maxmem: 256 * n * r }, done)
      })
    })

  // What nobody's password is compared with, so that an unknown name takes as long as a known one.
  const nobody: Kept = { ...cost, salt: randomBytes(16).toString('base64'), key: randomBytes(32).toString('base64') }

  async function hash(password: string, asking: Asking): Promise<Kept> {
    const salt = randomBytes(16)
    const key = await derive(password, salt, cost, asking)
    return { ...cost, salt: salt.toString('base64'), key: key.toString('base64') }
  }

  return {
    /** What to keep of a new password. Throws `invalid` with a sentence for the person when it is none that we take. */
    async keep(password: string, name: string, { shortest = 8, ...asking }: Asking & { shortest?: number } = {}): Promise<Kept> {
      const objection = objectionTo(password, name, shortest)
      if (objection) throw new HubError('invalid', objection)
      return hash(password, asking)
    },

    /** What to keep of a password that is somebody's already, whatever we think of it. */
    renew: (password: string, asking: Asking) => hash(password, asking),

    /** Is this the password? Takes as long for what nobody has (`undefined`) as for what somebody has. */
    async matches(password: string, kept: Kept | undefined, asking: Asking = {}): Promise<boolean> {
      if (lengthProblem(password, 8) || password.includes('\0')) return false
      const { salt, key, ...theirs } = kept ?? nobody
      const derived = await derive(password, Buffer.from(salt, 'base64'), theirs, asking)
      return timingSafeEqual(derived, Buffer.from(key, 'base64')) && kept !== undefined
    },

    /** Was it kept at another cost than a new one is? */
    isDated: (kept: Kept) => kept.n !== cost.n || kept.r !== cost.r || kept.p !== cost.p,
  }
}

export type Passwords = ReturnType<typeof createPasswords>

function lengthProblem(password: string, shortest: number): string | undefined {
  const bytes = Buffer.byteLength(password)
  if (bytes < shortest) return `A password has at least ${shortest} characters. Choose a longer one.`
  if (bytes > longest) return `A password has at most ${longest} bytes. Choose a shorter one.`
  return undefined
}

function objectionTo(password: string, name: string, shortest: number): string | undefined {
  const plain = password.normalize('NFKC').toLowerCase()
  if (password.includes('\0')) return 'A password cannot hold the character NUL. Choose another one.'
  const problem = lengthProblem(password, shortest)
  if (problem) return problem
  if (isDerived(plain, name) || common.has(plain) || new Set(plain).size < 3 || isRun(plain)) {
    return 'This password is among the first that are guessed. Choose one that is not.'
  }
  return undefined
}

/** The name, alone or with what people put around it: `alice123`, `ecila!`, `Alice-2026`, `alicealice`. */
function isDerived(plain: string, name: string): boolean {
  const letters = (text: string) => text.replace(/[^\p{L}]/gu, '')
  const rest = letters(plain)
  const [local = ''] = name.split('@')
  const made = (part: string) => rest.replaceAll(part, '') === '' || rest === [...part].reverse().join('')
  return plain === name || (rest !== '' && [name, local].map(letters).some(part => part.length > 2 && made(part)))
}

/** Each character follows the one before, such as `23456789` and `zyxwvuts`. */
function isRun(plain: string): boolean {
  const codes = [...plain].map(character => character.codePointAt(0)!)
  const step = codes[1]! - codes[0]!
  return Math.abs(step) === 1 && codes.every((code, i) => i === 0 || code - codes[i - 1]! === step)
}
