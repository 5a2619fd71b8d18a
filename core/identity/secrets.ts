import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

/** 256 random bits, 43 characters of `[A-Za-z0-9_-]`. */
export const newSecret = () => randomBytes(32).toString('base64url')

/** What is kept of a secret, and what it is found by: SHA-256, hex. */
export const fingerprint = (secret: string) => createHash('sha256').update(secret).digest('hex')

/** A signature that only who has the key can make. It is good for this purpose only. */
export const sign = (key: string, purpose: string, text: string) =>
  createHmac('sha256', Buffer.from(key, 'base64url')).update(`${purpose}\0${text}`).digest('base64url')

/** Are these the same? Takes as long whatever they have in common. */
export const same = (a: string, b: string) => timingSafeEqual(Buffer.from(fingerprint(a)), Buffer.from(fingerprint(b)))
