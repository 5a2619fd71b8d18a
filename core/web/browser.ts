/*
 * The pages' one script: makes live what already works without it. It keeps no state but what is on the page, and takes no
 * text for HTML but the hub's own cards.
 */

export {}

progress()
serverLog()
cards()
countdowns()
copying()
forms()
questions()
keepHash()
goOn()
insecure()

/** The progress page: lines as they come, the time, and on when it is over. */
function progress(): void {
  const page = document.querySelector<HTMLElement>('#progress')
  const address = page?.dataset.events
  if (!page || !address) return
  const part = <E extends HTMLElement>(name: string) => page.querySelector<E>(`[data-${name}]`)
  const clock = part('seconds')
  const began = performance.now() - Number(clock?.dataset.seconds ?? 0) * 1000
  setInterval(() => {
    const seconds = Math.floor((performance.now() - began) / 1000)
    if (clock) clock.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
  }, 500)

  const over = (to: string) => {
    stop()
    // Who has pressed Cancel goes where that leads.
    if (!page.querySelector('form[data-sent]')) location.replace(to)
  }
  const stop = listen(address, {
    message(data) {
      const { step, at, message, progress } = data as { step: string; at: number; message: string; progress: number }
      if (step === 'ready') return over(page.dataset.next ?? location.href)
      if (step === 'failed' || step === 'cancelled') return over(location.href)
      const text = part('message')
      if (text) text.textContent = message
      const bar = part<HTMLProgressElement>('progress')
      if (bar) bar.value = progress
      reach(page, step, `${(at / 1000).toFixed(1)} s`)
      const line = document.createElement('li')
      const time = document.createElement('span')
      time.className = 'muted'
      time.textContent = `${(at / 1000).toFixed(1)} s`
      line.append(time, ` ${message}`)
      part('log')?.append(line)
    },
    settled: () => over(location.href),
  })
}

function reach(page: HTMLElement, step: string, at: string): void {
  const steps = [...page.querySelectorAll<HTMLElement>('[data-step]')]
  const now = steps.findIndex(item => item.dataset.step === step)
  if (now < 0) return
  for (const [index, item] of steps.entries()) {
    // Gone past without a word: none of this spawner's.
    if (index < now && item.className === '') item.hidden = true
    if (index === now) item.hidden = false
    const begun = item.querySelector('[data-at]')
    if (index === now && begun?.textContent === '') begun.textContent = at
    item.className = index < now ? 'done' : index === now ? 'now' : ''
    if (index === now) item.setAttribute('aria-current', 'step')
    else item.removeAttribute('aria-current')
  }
}

/** A server's log: its lines as they come, at the end of what is there; the oldest go. Stays where the reader has scrolled to. */
function serverLog(): void {
  const log = document.querySelector<HTMLElement>('#server-log')
  const state = document.querySelector<HTMLElement>('[data-log-state]')
  const address = log?.dataset.events
  if (!log || !address) return
  const most = Number(log.dataset.most)
  const toEnd = () => log.scrollTo({ top: log.scrollHeight })
  toEnd()
  const stop = listen(address, {
    // A new connection tells the last lines again.
    begin() {
      log.replaceChildren()
      if (state) state.textContent = 'New lines appear as they are written.'
    },
    message(line) {
      const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40
      log.append(`${line}\n`)
      while (log.childNodes.length > most) log.firstChild?.remove()
      if (atEnd) toEnd()
    },
    settled() {
      stop()
      if (state) state.textContent = 'The server is not running any more.'
    },
  })
}

/** The home page: each card as the hub would show it now. One that somebody is answering a question in waits. */
function cards(): void {
  const place = document.querySelector<HTMLElement>('#cards')
  const said = document.querySelector<HTMLElement>('#said')
  const address = place?.dataset.events
  if (!place || !address) return
  const shown = new Map<string, { html: string; said: string }>()
  listen(address, {
    message(data) {
      const news = data as { name: string; html: string; said: string }[]
      for (const card of place.querySelectorAll<HTMLElement>('[data-server]'))
        if (!news.some(({ name }) => name === card.dataset.server)) card.remove()
      for (const { name, html, said: sentence } of news) {
        const before = shown.get(name)
        const card = [...place.querySelectorAll<HTMLElement>('[data-server]')].find(item => item.dataset.server === name)
        if (before?.html === html || card?.querySelector('details[open]')) continue
        shown.set(name, { html, said: sentence })
        const focused = card?.contains(document.activeElement)
        const template = document.createElement('template')
        template.innerHTML = html
        const fresh = template.content.firstElementChild as HTMLElement
        if (card) card.replaceWith(fresh)
        else place.append(fresh)
        if (focused) fresh.querySelector<HTMLElement>('.actions a, .actions button, .actions summary')?.focus()
        if (said && before && before.said !== sentence) said.textContent = sentence
      }
    },
    // Signed out in another tab.
    settled: () => location.reload(),
  })
}

/**
 * Events of one address for as long as the page is there. The browser comes back by itself after a lost connection, not
 * after an answer that is none (a hub that restarts): then we do, from the last event on. Returns the way to end it.
 */
function listen(address: string, handlers: Record<string, (data: unknown) => void>): () => void {
  let ended = false
  let wait = 2000
  let last = ''
  let source: EventSource | undefined
  const open = () => {
    if (ended) return
    const url = new URL(address, location.href)
    if (last) url.searchParams.set('after', last)
    source = new EventSource(url)
    for (const [type, handle] of Object.entries(handlers)) {
      source.addEventListener(type, event => {
        wait = 2000
        last = event.lastEventId || last
        handle(JSON.parse(event.data as string))
      })
    }
    source.addEventListener('error', () => {
      if (source?.readyState === EventSource.CLOSED) setTimeout(open, (wait = Math.min(wait * 1.5, 30_000)))
    })
  }
  const end = () => {
    ended = true
    source?.close()
  }
  open()
  // A page that is kept for going back must not hold its connection.
  addEventListener('pagehide', end)
  addEventListener('pageshow', event => event.persisted && location.reload())
  return end
}

function countdowns(): void {
  for (const item of document.querySelectorAll<HTMLElement>('[data-countdown]')) {
    const end = performance.now() + Number(item.dataset.countdown) * 1000
    const timer = setInterval(() => {
      const left = Math.max(0, Math.ceil((end - performance.now()) / 1000))
      item.textContent = String(left)
      if (left === 0) clearInterval(timer)
    }, 500)
  }
}

function copying(): void {
  for (const button of document.querySelectorAll<HTMLButtonElement>('[data-copy]')) {
    const field = document.querySelector<HTMLInputElement>(`#${button.dataset.copy}`)
    if (!field) continue
    button.hidden = false
    button.addEventListener('click', async () => {
      field.select()
      const said = document.querySelector('#copied')
      try {
        await navigator.clipboard.writeText(field.value)
        if (said) said.textContent = 'Copied.'
      } catch {
        // Not allowed over plain http: the text is selected, the keyboard does it.
        if (said) said.textContent = 'It is selected: copy it with the keyboard.'
      }
    })
  }
}

/** A form is sent once, and its button says that something goes on. */
function forms(): void {
  document.addEventListener('submit', event => {
    const form = event.target as HTMLFormElement
    if (form.method !== 'post') return
    if (form.dataset.sent) return event.preventDefault()
    form.dataset.sent = 'yes'
    for (const button of form.querySelectorAll('button')) button.setAttribute('aria-busy', 'true')
  })
  addEventListener('pageshow', () => {
    for (const form of document.querySelectorAll<HTMLFormElement>('form[data-sent]')) {
      delete form.dataset.sent
      for (const button of form.querySelectorAll('button')) button.removeAttribute('aria-busy')
    }
  })
}

/** A question that stands open goes away with Escape, or when something else is pressed. */
function questions(): void {
  const open = () => document.querySelectorAll<HTMLDetailsElement>('details.confirm[open]')
  document.addEventListener('click', event => {
    for (const question of open()) if (!question.contains(event.target as Node)) question.open = false
  })
  document.addEventListener('keydown', event => {
    if (event.key !== 'Escape') return
    for (const question of open()) {
      question.open = false
      question.querySelector('summary')?.focus()
    }
  })
}

/** What is behind `#` never reaches the hub: hand it on to where the link leads in the end. */
function keepHash(): void {
  const link = document.querySelector<HTMLAnchorElement>('a[data-keep-hash]')
  if (!link || !location.hash) return
  const url = new URL(link.href)
  url.searchParams.set('next', `${url.searchParams.get('next') ?? ''}${location.hash}`)
  link.href = url.href
}

/** A link that is followed by itself after a time; with the keyboard or the mouse also before. */
function goOn(): void {
  const link = document.querySelector<HTMLAnchorElement>('a[data-after]')
  if (link) setTimeout(() => location.assign(link.href), Number(link.dataset.after) * 1000)
}

function insecure(): void {
  const notice = document.querySelector<HTMLElement>('#insecure')
  if (notice && !isSecureContext) notice.hidden = false
}
