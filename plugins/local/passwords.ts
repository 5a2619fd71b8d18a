import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { HubError } from 'swarmhub'
import { z } from 'zod'
import { common } from './common.ts'

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

const shortest = 8
const longest = 1024
const atOnce = 2
const mayWait = 200

/** Passwords are hashed here and nowhere else: two at a time, 200 waiting, more are told to come back (`busy`). */
export function createPasswords(cost: Cost = { n: 2 ** 15, r: 8, p: 3 }) {
  const pass = turnstile(atOnce, mayWait)
  const derive = (password: string, salt: Buffer, { n, r, p }: Cost, signal?: AbortSignal) =>
    pass(() => {
      signal?.throwIfAborted()
      return new Promise<Buffer>((resolve, reject) => {
        const done = (error: Error | null, key: Buffer) => (error ? reject(error) : resolve(key))
        scrypt(password.normalize('NFKC'), salt, 32, { N: n, r, p, maxmem: 256 * n * r }, done)
      })
    })

  // What nobody's password is compared with, so that an unknown name takes as long as a known one.
  const nobody: Kept = { ...cost, salt: randomBytes(16).toString('base64'), key: randomBytes(32).toString('base64') }

  return {
    /** What to keep of a new password. Throws `invalid` with a sentence for the person when it is none that we take. */
    async keep(password: string, name: string): Promise<Kept> {
      const objection = objectionTo(password, name)
      if (objection) throw new HubError('invalid', objection)
      const salt = randomBytes(16)
      const key = await derive(password, salt, cost)
      return { ...cost, salt: salt.toString('base64'), key: key.toString('base64') }
    },

    /** Is this the password? Takes as long for what nobody has (`undefined`) as for what somebody has. */
    async matches(password: string, kept: Kept | undefined, signal?: AbortSignal): Promise<boolean> {
      if (lengthProblem(password) || password.includes('\0')) return false
      const { salt, key, ...theirs } = kept ?? nobody
      const derived = await derive(password, Buffer.from(salt, 'base64'), theirs, signal)
      return timingSafeEqual(derived, Buffer.from(key, 'base64')) && kept !== undefined
    },

    /** Was it kept at another cost than a new one is? */
    isDated: (kept: Kept) => kept.n !== cost.n || kept.r !== cost.r || kept.p !== cost.p,
  }
}

export type Passwords = ReturnType<typeof createPasswords>

function lengthProblem(password: string): string | undefined {
  const bytes = Buffer.byteLength(password)
  if (bytes < shortest) return `A password has at least ${shortest} characters. Choose a longer one.`
  if (bytes > longest) return `A password has at most ${longest} bytes. Choose a shorter one.`
  return undefined
}

function objectionTo(password: string, name: string): string | undefined {
  const plain = password.toLowerCase()
  if (password.includes('\0')) return 'A password cannot hold the character NUL. Choose another one.'
  if (lengthProblem(password)) return lengthProblem(password)
  if (plain === name || common.has(plain) || new Set(plain).size < 3) {
    return 'This password is among the first that are guessed. Choose one that is not.'
  }
  return undefined
}

/** Lets `atOnce` through at a time; `mayWait` wait for their turn, in order. */
function turnstile(atOnce: number, mayWait: number) {
  const waiting: (() => void)[] = []
  let inside = 0
  return async function pass<T>(work: () => Promise<T>): Promise<T> {
    if (inside < atOnce) inside++
    else if (waiting.length < mayWait) await new Promise<void>(resolve => waiting.push(resolve))
    else throw new HubError('busy', 'Too many people sign in at this moment. Try again in some seconds.', { retryAfter: 10 })
    try {
      return await work()
    } finally {
      // The place goes from hand to hand: nobody who comes now can overtake.
      const next = waiting.shift()
      if (next) next()
      else inside--
    }
  }
}
