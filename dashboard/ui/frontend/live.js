// Events between the components of a page while a slider moves, without a rerun of the page's script on the server.
// `values`: the sliders' values; `dirty`: the server does not know them yet. Events: "values", "result".
const bus = (window.mammolab ??= Object.assign(new EventTarget(), { values: {}, dirty: false }))

// Listen to an event as long as `root` is on the page; a new listener of the same root replaces the old one.
function on(root, name, listener) {
  const known = (root._listeners ??= {})
  if (known[name]) bus.removeEventListener(name, known[name])
  known[name] = (event) => (root.isConnected ? listener(event.detail) : bus.removeEventListener(name, known[name]))
  bus.addEventListener(name, known[name])
}

const emit = (name, detail) => bus.dispatchEvent(new CustomEvent(name, { detail }))

// While a hand holds the slider `state.held` is true and `state.timer` does not run; its release commits.
function commitOnRelease(range, state, commit) {
  range.onpointerdown = () => {
    state.held = true
    clearTimeout(state.timer)
  }
  range.onpointerup = range.onpointercancel = range.onblur = () => {
    state.held = false
    commit()
  }
}

// Calls of `run` one at a time; of the calls made meanwhile only the newest is carried out.
function coalesce(run) {
  let busy = false
  let next = null
  return async function call(value) {
    if (busy) return void (next = [value])
    busy = true
    try {
      await run(value)
    } finally {
      busy = false
      if (next) {
        const [wanted] = next
        next = null
        call(wanted)
      }
    }
  }
}

// Fetch a message (see envelope.js), or with `ask` bytes; throws an Error with the reason in words, and with `lost` where the
// server no longer knows the address: the page's script opens it again.
async function request(url, query) {
  const bytes = await ask(url, query)
  return unpack(bytes)
}

async function ask(url, query) {
  let response
  try {
    response = await fetch(`${here(url)}?${new URLSearchParams(query)}`, { cache: "no-store" })
  } catch {
    throw new Error("The server does not answer.")
  }
  if (response.ok) return new Uint8Array(await response.arrayBuffer())
  const { reason } = await response.json().catch(() => ({}))
  throw Object.assign(new Error(reason ?? `The server answered ${response.status}.`), { lost: response.status === 404 })
}
