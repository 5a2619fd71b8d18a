import type { Hono } from 'hono'
import type { HtmlEscapedString } from 'hono/utils/html'
import type { ZodType } from 'zod'
import type { StateFile } from './store/file.ts'

/*
 * The plugin API, types only.
 *
 *              start                 runs, answers HTTP, route live
 *  stopped ───────────▶ starting ───────────────────────────────▶ running
 *     ▲   before:spawn     │ cancel, refuse, fail, time-out           │ stop, cull, node lost, exited
 *     │   networks, mounts │ failed:spawn             after:spawn     │ before:stop
 *     │   spawner.start    ▼                                          ▼
 *     └──────────────── stopping ◀────────────────────────────────────┘      (unknown: the engine cannot be asked)
 *        after:stop: follows every spawn, also one that failed, and may come twice
 */

export type Awaitable<T> = T | Promise<T>

/** What JSON can carry. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json }

/** Undo what a set-up did. Called once, in reverse order of the set-ups. */
export type Close = () => Awaitable<void>

/**
 * A plugin is a literal returned by a function of its options: `export const greet = (options) => ({ … }) satisfies Plugin`.
 * State lives in the closure; importing does nothing. It may fill any number of roles, and hook into the stages.
 */
export interface Plugin {
  /** Unique within one hub: `[a-z][a-z0-9-]*`. Names its log lines, metrics, routes and verbs. */
  name: string
  /** For `GET hub/api/info`. Left out by those that come with the hub: theirs is the hub's. */
  version?: string
  authenticator?: Authenticator
  network?: Network
  mount?: Mount
  spawner?: Spawner
  proxy?: Proxy
  hooks?: Hooks
  /** Pages under `/hub/x/<name>`; the visitor is signed in (`c.get('caller')`), all others are sent to sign in first. */
  web?: Hono<HubEnv>
  /**
   * Pages of `web` that every visitor finds in the bar: `{ label: 'Password', page: 'password' }`. With a `scope`, such as `admin-ui`, a
   * page of the administration: its link is shown there, to who holds it; whether they may see the page is still the page's to check.
   */
  links?: readonly { label: string; page: string; scope?: string }[]
  /** Pages under `/hub/x/<name>` for everybody, signed in or not: they are asked before `web`, and only paths that this one knows. */
  welcome?: Hono<VisitorEnv>
  /**
   * Endpoints under `/hub/x/<name>` for programs elsewhere, such as a provider that reports something. No `_xsrf` is asked for and
   * nobody is signed in there, whatever cookies come along: act on nothing but what the request itself proves.
   */
  remote?: Hono<RemoteEnv>
  /** Endpoints under `/hub/api/x/<name>`; the caller's token is checked (`c.get('caller')`). */
  api?: Hono<ApiEnv>
  /** Background work, by name. One run of a job at a time; a failed run is logged, the next still comes. */
  jobs?: Record<string, Job>
  /** `swarmhub <name> <verb> …`, carried out inside the running hub. */
  commands?: Record<string, Command>
  /** Open what you need. Called once, in config order. Plugins close in reverse order, also after half a start. */
  setup?(hub: Hub): Awaitable<void | Close>
  /** Throw when you cannot do your work now. Asked by `/hub/health?full` and `swarmhub doctor`. */
  health?(signal: AbortSignal): Awaitable<void>
}

// ---------------------------------------------------------------------------------------------------------------------
// What every call gets

export interface Log {
  debug(message: string, data?: object): void
  info(message: string, data?: object): void
  warn(message: string, data?: object): void
  error(message: string, data?: object): void
  /** A logger whose lines carry these fields too. */
  with(fields: object): Log
}

export interface Context {
  /** Names plugin, stage, user and server on each line. */
  log: Log
  /** Aborts on cancel, on the deadline, and on shutdown. Pass it to everything that waits. */
  signal: AbortSignal
  /** A line for who waits; percent is 0 to 100 of the present step. */
  progress(message: string, percent?: number): void
}

/** What a plugin may do with the hub it runs in. */
export interface Hub {
  /** The id of this hub, part of every label on the engine. Stays the same for the life of the data folder. */
  readonly id: string
  /** The public address, ends with `/`. Undefined when the config leaves it to the request. */
  readonly url: URL | undefined
  /**
   * A whole address for a person to open, of one of this plugin's pages: `link('setup?code=1')` is `https://hub.example.org/hub/x/local/setup?code=1`.
   * While the config does not say `url`, by the address that the proxy listens on.
   */
  link(page: string): string
  /** Tell whoever started the hub, on its standard output as it is: unlike a log line nothing is masked. For a one-time link. */
  say(text: string): void
  /** A folder of the plugin's own inside the data folder, mode 0700; it exists. */
  readonly folder: string
  readonly log: Log
  /** A file of the plugin's own in its folder, as durable as the hub's: see StateFile. Opened once per name; a damaged one throws. */
  file<T>(name: string, schema: ZodType<T>, initial: T): Promise<StateFile<T>>
  /** Is this hub reachable from other machines than this one? Decided by the proxy's listen address and `url`. */
  readonly isPublic: boolean
  users(): Iterable<User>
  user(name: string): User | undefined
  /** End all of a user's sessions, and revoke the tokens issued in them. For a changed password. Does nothing for nobody. */
  signOut(user: string): Promise<void>
  /**
   * End sessions that began with this plugin's sign-in, and revoke the tokens issued in them: of whom it knows under this `id`, or
   * those that the provider calls `session` (see Identity); with both, these sessions of this person. Resolves with whose they were.
   */
  endSessions(which: { id?: string; session?: string }): Promise<string[]>
  /** Is auth state kept? Not without `authState.keys` in the config: then what an Identity brings of it is dropped. */
  readonly keepsAuthState: boolean
  /** What the last sign-in or refresh of a user kept; undefined for nothing. It may hold tokens: never log it, never show it. */
  authState(user: string): Json | undefined
  /**
   * Check a secret of somebody's that a page asks for, such as the present password. Wrong ones count as failed sign-ins of this
   * name from this address; throws `busy` with the seconds to wait when there were too many, and does not check then.
   */
  attempt(name: string, address: string, check: () => Promise<boolean>): Promise<boolean>
  /** A line for the audit trail about an account that the plugin keeps. No secret in it. Who does it is known from the request. */
  record(action: AccountAction, user: string | null, details?: Record<string, string | number | boolean>): void
  servers(): Iterable<ServerView>
  /** What may be started: each image that a profile names by itself, by one option or by one override, and where it may run then. */
  offers(): Iterable<Offer>
  /** Start a user's server as its owner would, by profile and choices. Resolves when it is ready. */
  start(user: string, server: string, choices?: Choices): Promise<void>
  /** Stop a user's server; resolves when it is gone. Does nothing when it is stopped. */
  stop(user: string, server: string, reason: StopReason): Promise<void>
  /** Let this plugin's mount erase what somebody keeps, so that the audit trail tells of it. */
  erase(id: string): Promise<void>
}

/** What is written down of accounts that a plugin keeps. */
export type AccountAction =
  | 'account.create'
  | 'account.approve'
  | 'account.invite'
  | 'account.password'
  | 'account.second-factor'
  | 'account.reset'
  | 'account.change'
  | 'account.delete'

// ---------------------------------------------------------------------------------------------------------------------
// The subjects

/** Somebody who may have servers. */
export interface User {
  /** Never re-used, stays when the user is renamed. */
  readonly id: string
  readonly name: string
  /** The safe name: never the same for two users, at most 32 characters of `[a-z0-9-]`, starts with a letter; stays for life. */
  readonly slug: string
  readonly admin: boolean
  readonly groups: readonly string[]
  /** What the authenticator told beyond the name: mail, uid, gid, home, … */
  readonly attributes: Readonly<Record<string, unknown>>
}

/** Who somebody is, as an authenticator tells it. */
export interface Identity {
  /** The name before the hub's rules; the hub normalises it. */
  name: string
  /** What stays the same when the person is renamed at the provider. Binds the account: another id never gets this account. */
  id?: string
  /** Left out: this authenticator does not manage groups. */
  groups?: string[]
  /** Left out: this authenticator does not decide. */
  admin?: boolean
  attributes?: Record<string, unknown>
  /**
   * What plugins may need later in this user's name, such as the provider's tokens; see Hub.authState. Encrypted at rest, removed with
   * the user, shown to nobody but holders of `admin:auth_state`. Left out: what was kept stays. null: it is forgotten.
   */
  authState?: Json
  /** How the provider calls this one sign-in, if it may end it by itself (OpenID Connect's `sid`); see Hub.endSessions. */
  session?: string
}

/** The subject of the stage `login`. A `before:login` hook may change the identity, or refuse it by throwing. */
export interface Login {
  identity: Identity
  /** The name of the plugin that answered. */
  authenticator: string
  /** The client's address. */
  address: string
}

/** Which server: its owner and its name, `''` for the default one. */
export interface ServerRef {
  user: string
  name: string
}

/** The subject of the stage `spawn`. A `before:spawn` hook may change the draft, or refuse the start by throwing. */
export interface Spawn {
  readonly user: User
  readonly server: ServerRef
  readonly profile: Profile
  /** What the user chose from the profile's closed lists; already checked. */
  readonly choices: Choices
  readonly draft: ServerSpec
}

/** The subject of the stage `stop`. Everything that acts on it is idempotent: it may come twice, and for what never came up. */
export interface Stop {
  readonly user: User
  readonly server: ServerRef
  readonly generation: string
  readonly reason: StopReason
  /** Why it is gone, when it is known. */
  readonly cause?: Cause
}

export type StopReason =
  | 'user'
  | 'admin'
  | 'idle'
  | 'api'
  | 'exited'
  | 'failed'
  | 'cancelled'
  | 'lost'
  | 'signout'
  | 'deleted'
  | 'shutdown'

/** By option name, the value picked. */
export type Choices = Readonly<Record<string, string>>

export interface Stages {
  login: Login
  spawn: Spawn
  stop: Stop
}

/**
 * `before:X` runs one by one in config order; a throw refuses the stage. `after:X` and `failed:X` run at once, fenced: a
 * throw is logged and counted, and harms no one. `after:stop` is the one guaranteed clean-up.
 */
export type Hooks = {
  [S in keyof Stages as `${'before' | 'after' | 'failed'}:${S}`]?: (subject: Stages[S], ctx: Context) => Awaitable<void>
}

// ---------------------------------------------------------------------------------------------------------------------
// A server

/**
 * What a user may start, as it is for this user: with the overrides that concern them, in a `Spawn` also with what they chose. The
 * admin writes profiles; users only choose among them.
 */
export interface Profile {
  readonly name: string
  readonly label: string
  readonly description?: string
  /** Who may use it; left out: everybody. */
  readonly groups?: readonly string[]
  /** What the user may choose within it. */
  readonly choices?: readonly Choice[]
  /** A container image; left out where the spawner needs none. */
  readonly image?: string
  /** Replaces the image's CMD, never its ENTRYPOINT. */
  readonly command?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly cpus?: number
  readonly cpuGuarantee?: number
  /** Bytes. */
  readonly memory?: number
  /** Bytes. */
  readonly memoryGuarantee?: number
  readonly resources?: Readonly<Record<string, number>>
  /** Bytes. */
  readonly shm?: number
  readonly pids?: number
  readonly ulimits?: Readonly<Record<string, number | { readonly soft: number; readonly hard: number }>>
  /** Beside those of the whole hub. */
  readonly mounts?: readonly (Plugin & { mount: Mount })[]
  /** Beside those of the whole hub. */
  readonly networks?: readonly (Plugin & { network: Network })[]
  readonly placement?: Placement
  readonly log?: LogDriver
  readonly configs?: readonly FileSpec[]
  readonly secrets?: readonly FileSpec[]
  /** `1000:100` */
  readonly runAs?: string
  readonly supplementaryGroups?: readonly string[]
  readonly workdir?: string
  /** Milliseconds. */
  readonly stopGrace?: number
  readonly healthCheck?: HealthCheck
  readonly restart?: Restart
  /** The page a server opens with, such as `/lab`. */
  readonly defaultUrl?: string
  /** The folder a server starts in. */
  readonly rootDir?: string
}

/** One thing to choose within a profile: one of a list, or a text that a pattern matches. */
export interface Choice {
  readonly name: string
  readonly label: string
  readonly description?: string
  /** The name of an option, or a text. */
  readonly default: string
  readonly options?: readonly { readonly name: string; readonly label: string; readonly description?: string }[]
  /** Where there is no list. The whole text has to match. */
  readonly pattern?: RegExp
}

export interface Placement {
  /** Swarm's words: `node.labels.gpu==true`. All must hold. */
  readonly constraints?: readonly string[]
  /** Spread over the values of these, the first first: `node.labels.rack`. */
  readonly spread?: readonly string[]
  /** `linux/amd64`; one of them must fit. */
  readonly platforms?: readonly string[]
}

export interface LogDriver {
  readonly driver: string
  readonly options: Readonly<Record<string, string>>
}

/** A config or a secret that is on the engine already, as a file in the container. */
export interface FileSpec {
  readonly name: string
  readonly target?: string
  readonly uid: number
  readonly gid: number
  readonly mode: number
}

/** `image`: as the image says. */
export type HealthCheck =
  | 'image'
  | {
      readonly command: readonly string[]
      /** Milliseconds, as are the others. */
      readonly every: number
      readonly deadline: number
      readonly retries: number
      readonly startPeriod: number
    }

/** How often the engine starts again what has failed. */
export interface Restart {
  readonly attempts: number
  /** Milliseconds between two. */
  readonly delay: number
  /** Milliseconds within which the attempts are counted. */
  readonly window: number
}

/** One image that may be started. */
export interface Offer {
  /** The profile's name. */
  readonly profile: string
  /** Left out: the spawner's own. */
  readonly image?: string
  readonly placement?: Placement
}

/** All that a spawner needs to know to create one server. Built by the core, changed by `before:spawn`, checked once more, then fixed. */
export interface ServerSpec {
  readonly hub: string
  readonly user: User
  readonly server: ServerRef
  /** New for every start. Two live servers of one (user, name) are told apart by it. */
  readonly generation: string
  /** Unique for (user, server): at most 60 characters of `[a-z0-9-]`, starts with a letter. */
  readonly name: string
  /** On everything that is created for this server. See `labels` in names.ts. */
  readonly labels: Record<string, string>
  image?: string
  /** Replaces the image's CMD, never its ENTRYPOINT. */
  command?: string[]
  /** What JupyterHub hands to a server, without the secrets. */
  env: Record<string, string>
  /** Environment variables whose values nobody may read from the engine's API. */
  secrets: Record<string, string>
  /** The port the notebook listens on; `JUPYTERHUB_SERVICE_URL` in `env` names it. A spawner that uses another sets both. */
  port: number
  /** The path under which it answers: `/user/alice/`. */
  readonly path: string
  cpus?: number
  cpuGuarantee?: number
  /** Bytes. */
  memory?: number
  /** Bytes. */
  memoryGuarantee?: number
  /** Generic resources by their kind. */
  resources?: Readonly<Record<string, number>>
  /** The size of /dev/shm, bytes. */
  shm?: number
  pids?: number
  ulimits?: Readonly<Record<string, number | { readonly soft: number; readonly hard: number }>>
  placement?: Placement
  mounts: MountSpec[]
  /** Names or ids of networks. */
  networks: string[]
  log?: LogDriver
  /** Configs of the engine that the profile names, as files. */
  configs: FileSpec[]
  /** Secrets of the engine that the profile names, as files; `secrets` are those of this one server. */
  secretFiles: FileSpec[]
  /** Whom the container runs as: `1000:100`. */
  runAs?: string
  supplementaryGroups?: readonly string[]
  workdir?: string
  /** Milliseconds. */
  stopGrace?: number
  healthCheck?: HealthCheck
  restart?: Restart
}

export interface MountSpec {
  type: 'volume' | 'bind' | 'tmpfs'
  /** The path in the container; for the process spawner, the link in the user's home. */
  target: string
  /** The volume's name, or the folder on the node. A volume without a name is empty, and gone with its server. */
  source?: string
  readOnly?: boolean
  /** For volumes: the driver and its options, and labels. */
  driver?: { name: string; options?: Record<string, string> }
  labels?: Record<string, string>
  /** For volumes: do not copy what the image has at the target. */
  noCopy?: boolean
  /** For tmpfs, bytes. */
  size?: number
  /** For tmpfs: who may do what in it, as `0o1777`. */
  mode?: number
  /** For bind: is what the node mounts below it later seen there too? Left out: no. */
  propagation?: 'rprivate' | 'rslave'
}

/** What a spawner needs to find its server again; JSON, kept by the core. */
export type Handle = { readonly [key: string]: string | number | boolean | null }

export type Status =
  | { state: 'starting'; step: 'queued' | 'placed' | 'pulling' | 'starting'; message: string; node?: string; percent?: number }
  /** Its process runs; target is where it is reached: `http://10.0.1.7:8888`, without a path. */
  | {
      state: 'running'
      target: string
      node?: string
      /** What its user should know while it runs, a plain sentence: that its node will be taken out of service. */
      notice?: string
    }
  | { state: 'gone'; cause: Cause }
  /** The engine cannot be asked: keep what is, start nothing, cull nothing. */
  | { state: 'unknown'; why: string }

/** Why a server is not there. */
export interface Cause {
  /** Stable, for programs. */
  code:
    | 'stopped'
    | 'exited'
    | 'no-node'
    | 'no-image'
    | 'registry-auth'
    | 'mount'
    | 'network'
    | 'out-of-memory'
    | 'killed'
    | 'no-answer'
    | 'time-out'
    | 'node-lost'
    | 'node-drained'
    | 'cancelled'
    | 'refused'
    | 'engine'
    | 'missing'
    | 'internal'
  /** What happened, a plain sentence for the user. */
  message: string
  /** What to do next, a plain sentence. */
  hint?: string
  /** The engine's own words. */
  engine?: string
  exitCode?: number
  /** The last lines of its log. */
  log?: string[]
}

/** A server as others may see it. */
export interface ServerView {
  readonly user: User
  readonly name: string
  readonly state: 'stopped' | 'starting' | 'running' | 'stopping' | 'unknown'
  readonly profile: string
  readonly started: Date | null
  readonly lastActivity: Date | null
  readonly node?: string
  /** Of the present start, as its labels on the engine say it. */
  readonly generation?: string
}

// ---------------------------------------------------------------------------------------------------------------------
// The roles

export type Authenticator = PasswordAuthenticator | RedirectAuthenticator | RequestAuthenticator | NoAuthenticator

/** What every kind may have beside its own. */
interface AnyAuthenticator {
  /**
   * In front of all names that it tells, before any rule sees them: `gh-`. Set by `prefixed`; the authenticator itself knows
   * nothing of it. The user whom it gets in `refresh` is called as here: it knows them by their attributes.
   */
  prefix?: string
  /**
   * Where a browser goes that was signed out here, to be signed out of the provider, too; `back` is the hub's own page after it. null:
   * nowhere else. A throw is logged; the person is signed out here in any case.
   */
  leave?(user: User, back: URL, ctx: Context): Awaitable<URL | null>
}

/** Lets nobody in; the label says so on the sign-in page. */
export interface NoAuthenticator extends AnyAuthenticator {
  kind: 'none'
  label: string
  refresh?: undefined
}

/** Asks for a name and a password in the hub's own form. */
export interface PasswordAuthenticator extends AnyAuthenticator {
  kind: 'password'
  /** On the form's button. */
  label: string
  /** A link below the form to a page of the plugin's `welcome`: `{ label: 'Create an account', page: 'signup' }`. */
  link?: { label: string; page: string }
  /**
   * null is a wrong name or password; a Challenge means that both are right and something more is asked. Throw only when the
   * question could not be answered.
   */
  check(credentials: Credentials, ctx: Context): Promise<Identity | Challenge | null>
  /**
   * What the person answered to a challenge. A challenge is answered once, by the browser that was asked, within ten minutes;
   * that an answer is good for one challenge only, such as a code of an app, is the authenticator's to see to. null ends the sign-in; another Challenge goes on with it, and is a wrong answer when it says a `problem`: those are counted
   * per name and per address, and whoever gives many waits. Needed by who challenges.
   */
  answer?(given: { state: string; answer: string }, ctx: Context): Promise<Identity | Challenge | null>
  /** Is this user still who they were? null ends their sessions. A throw keeps them. */
  refresh?(user: User, ctx: Context): Promise<Identity | null>
}

export interface Credentials {
  username: string
  password: string
  /** The same for all that comes from one network, or from one browser that is known: to be fair by when many ask at once. */
  from?: string
}

/** One more step of a sign-in: a page with one field. */
export interface Challenge {
  /** The field's label: "Code from your app". */
  question: string
  /** What to do, above the field. As any page it has no inline script and no inline style. */
  content?: HtmlEscapedString | Promise<HtmlEscapedString>
  /** What was wrong with the last answer. */
  problem?: string
  /** Handed back with the answer; at most 1000 bytes. The person's browser keeps it: they may read it, they cannot change it. */
  state: string
  /** Of the field, as in HTML: `one-time-code`. */
  autocomplete?: string
}

/** Sends the browser to a provider and gets it back. */
export interface RedirectAuthenticator extends AnyAuthenticator {
  kind: 'redirect'
  /** On the button: "Sign in with GitHub". */
  label: string
  begin(login: { callback: URL; state: string }, ctx: Context): Awaitable<URL>
  /** The hub has checked `state`. null is a refusal by the provider or the person. */
  finish(login: { callback: URL; query: URLSearchParams }, ctx: Context): Promise<Identity | null>
  refresh?(user: User, ctx: Context): Promise<Identity | null>
}

/** Headers that say who somebody is, and whose word they are. */
export interface GuardedHeaders {
  /** Their names, in any case. */
  headers: readonly string[]
  /** Addresses and networks that may say them: `10.0.0.2`, `10.0.0.0/8`. Nobody else's are believed. */
  from: readonly string[]
}

/**
 * Knows visitors by what a program in front of the hub says of them: nothing is asked, nobody is sent away. The front and the
 * hub take its `headers` out of whatever does not come from there.
 */
export interface RequestAuthenticator extends AnyAuthenticator, GuardedHeaders {
  kind: 'request'
  /** On the button, where there are other ways to sign in: "Sign in with your university account". */
  label: string
  /**
   * Who it is, by those of `headers` that came, by their names in lower case and each with one value, as bytes in a text
   * (latin1). null: nobody. Asked at sign-in, and with each later request that has one of them: who is somebody else by then
   * is signed out.
   */
  identify(headers: ReadonlyMap<string, string>, ctx: Context): Awaitable<Identity | null>
  refresh?(user: User, ctx: Context): Promise<Identity | null>
}

export interface Network {
  /** The networks that this server joins; created here if need be. */
  join(spawn: Spawn, ctx: Context): Awaitable<string[]>
  leave?(stop: Stop, ctx: Context): Awaitable<void>
}

export interface Mount {
  /** What is mounted into this server. Create here what has to exist first (a directory on the export, its owner, its quota). */
  attach(spawn: Spawn, ctx: Context): Awaitable<MountSpec[]>
  detach?(stop: Stop, ctx: Context): Awaitable<void>
  /**
   * What users keep here, for the admin's inventory. What is known comes at once; what has to be measured comes later, as the same
   * storage once more.
   */
  inventory?(ctx: Context): AsyncIterable<Storage>
  /** Remove it for good. The core has had it confirmed. Rejects with `conflict` while a server has it. */
  erase?(storage: Pick<Storage, 'id'>, ctx: Context): Promise<void>
}

/** Something that somebody keeps. */
export interface Storage {
  id: string
  /** The user's slug, where it is known. */
  owner?: string
  /** Bytes, where it is known. */
  used?: number
  where: string
  /** The last day on which a server had it, where that is known. */
  lastUse?: Date
}

export interface Spawner {
  /** Create the server's service, or adopt the one that already carries its labels and generation. Return once it exists. */
  start(spec: ServerSpec, ctx: Context): Promise<Handle>
  poll(handle: Handle, ctx: Context): Promise<Status>
  /** Return once it is gone. May be called twice, and for what never came up. */
  stop(handle: Handle, ctx: Context): Promise<void>
  /** All that carries this hub's labels: for adoption at start, and for orphans. One call, whatever the number of servers. */
  list(ctx: Context): Promise<{ handle: Handle; labels: Record<string, string>; status: Status }[]>
  /**
   * Say when a server may have changed: one event stream instead of polling each. Who has seen what it is now says that as well: a `running`
   * is taken as it is, for anything else it is polled.
   */
  watch?(changed: (handle: Handle, status?: Status) => void, ctx: Context): Awaitable<Close>
  /** The last lines first to last, then (unless `follow` is false), while the signal is not aborted, new ones as they come. */
  logs?(handle: Handle, ctx: Context, options?: { follow?: boolean }): AsyncIterable<string>
  /**
   * How many more servers of each of these profiles would find a place now, in the same order; undefined where that is not known or has no
   * limit. For people who choose: asked at each view of the start page, which does not wait longer than a second.
   */
  capacity?(profiles: readonly Profile[], ctx: Context): Awaitable<(number | undefined)[]>
  /** Where its servers find this hub. Asked once, before the hub listens. Left out: the loopback address. */
  reach?(ctx: Context): Awaitable<Reach>
}

/** How servers reach the hub: the address the hub listens on, and the host name that servers use. */
export interface Reach {
  /** An address of this machine: `127.0.0.1`, `0.0.0.0`. */
  listen: string
  /** A name or address as seen from a server. Must stay the same when the hub is restarted. */
  host: string
}

export interface Route {
  /** Starts and ends with `/`; percent-encoded as in a URL, `@` bare: `/user/bob@x.org/`. */
  path: string
  /** `http://host:port`, without a path. */
  target: string
  /** Kept with the route. A route with `jupyterhub: true` is the hub's, all others are left alone. */
  data: Record<string, unknown>
}

export interface Proxy {
  /** In the front process: listen, serve the routes, give the rest to the hub. Left out when something else is the proxy. */
  serve?(front: FrontOptions, ctx: Context): Promise<Close>
  /** In the hub: the route table, by CHP's REST API or the plugin's own means. Adding replaces; removing what is not there is fine. */
  add(route: Route, ctx: Context): Promise<void>
  remove(path: string, ctx: Context): Promise<void>
  list(ctx: Context): Promise<(Route & { active: Date })[]>
  /**
   * A browser session has ended: close the WebSockets that were opened with it, to whatever server, and show its id to none any more.
   * `id`: the value of the cookie `jupyterhub-session-id`. It may come twice. Left out: WebSockets of who is signed out stay open.
   */
  endSession?(id: string, ctx: Context): Promise<void>
  /** Called once in the hub process before any other, with where the front's route API is. */
  connect?(api: RouteApi): void
  /** The address the public reaches, as far as it is known before anything listens: for messages and for what may not run on a public address. */
  readonly listens?: {
    host: string
    port: number
    tls: boolean
    /** Other proxies stand in front of it: it is reached at their addresses, too. */
    proxied?: boolean
  }
}

/** Where the front's route API listens, and the secret that opens it. */
export interface RouteApi {
  /** A unix socket's path, or host and port. */
  at: { socket: string } | { host: string; port: number }
  token: string
}

export interface FrontOptions {
  /** Everything that no route claims goes here. A unix socket's path, or host and port. */
  hub: { socket: string } | { host: string; port: number }
  /**
   * Goes with each request to the hub, in place of what the client sent under these names, and with none to a server: by it
   * the hub knows that the front has said who the client is, in `X-Forwarded-For` and `X-Forwarded-Proto`.
   */
  hubHeaders: Readonly<Record<string, string>>
  /** In this header, the hub is told who has connected to the front: the address of the connection, whatever else says of it. */
  peerHeader: string
  /**
   * Taken out of every request of which they are not believed, whether it goes to the hub or to a server: `guardHeaders` tells
   * which. The hub looks once more.
   */
  guarded: readonly GuardedHeaders[]
  api: RouteApi
  /** The path prefix of the whole hub, starts and ends with `/`. */
  base: string
  /** A folder of the front's own, for its route table. */
  folder: string
  /** How long requests for the hub wait while there is none, in milliseconds. */
  patience: number
}

export interface Job {
  /** Milliseconds between the end of one run and the start of the next. */
  every: number
  /** Run at start too, not only after the first interval. */
  atStart?: boolean
  /** Milliseconds; a run that takes longer is aborted. */
  deadline?: number
  run(ctx: Context): Awaitable<void>
}

export interface Command {
  /** One line for `--help`. */
  summary: string
  run(args: string[], ctx: Context): Awaitable<string | void>
}

/** What a plugin's `web` finds in `c.get(…)`. Before any request but GET, HEAD and OPTIONS the core has checked its `_xsrf`. */
export interface HubEnv {
  Variables: {
    /** The signed-in visitor. */
    caller: Caller
    /** The client's, as the proxy tells it. */
    address: string
    log: Log
    /** Every form carries it: `<input type="hidden" name="_xsrf" value="…">`. */
    xsrf: string
    /** An answer that looks like the hub's own pages: the content inside the hub's frame, under its policy (no inline script, no inline style). */
    page(title: string, content: HtmlEscapedString | Promise<HtmlEscapedString>, status?: number): Awaitable<Response>
  }
}

/** What a plugin's `welcome` finds: the same, but nobody need be signed in. */
export interface VisitorEnv {
  Variables: Omit<HubEnv['Variables'], 'caller'> & { caller: Caller | undefined }
}

/** What a plugin's `remote` finds. */
export interface RemoteEnv {
  Variables: Pick<HubEnv['Variables'], 'log'>
}

/** What a plugin's `api` finds. */
export interface ApiEnv {
  Variables: Pick<HubEnv['Variables'], 'log'> & {
    /** The owner of the token, or of the session. */
    caller: Caller
  }
}

/** Who makes a request, and what they may do. */
export interface Caller {
  readonly kind: 'user' | 'service'
  readonly name: string
  /** Set when `kind` is `user`. */
  readonly user?: User
  /** Fully expanded, JupyterHub's scope strings: `read:users!user=alice`. */
  readonly scopes: ReadonlySet<string>
  /** Does the caller hold this scope for this target? Without a target: for everything. */
  allows(scope: string, target?: ScopeTarget): boolean
  /** Does the caller hold this scope at all, be it for other targets? Decides between 404 (yes) and 403 (no) when `allows` says no. */
  holds(scope: string): boolean
}

/** What a scope is asked for. A server is `{ user, server }`. */
export type ScopeTarget = { user: string; server?: string } | { group: string } | { service: string }
