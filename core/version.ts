import pack from '../package.json' with { type: 'json' }

/** The JupyterHub that clients take us for: on every response. They parse it as a version of PEP 440. */
export const jupyterhubVersion = '5.4.6'

/** Of this program. */
export const hubVersion: string = pack.version
