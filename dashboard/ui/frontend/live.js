// What the parts of the Preprocess page say to each other while a slider moves, without the server's page script.
// `values`: the sliders' values; `dirty`: the server does not know them yet. Events: "values", "result".
const bus = (window.mammolab ??= Object.assign(new EventTarget(), { values: {}, dirty: false }))

// Hear an event as long as `root` is on the page; a new listener of the same root takes the old one's place.
function hear(root, name, listener) {
  const known = (root._heard ??= {})
  if (known[name]) bus.removeEventListener(name, known[name])
  known[name] = (event) => (root.isConnected ? listener(event.detail) : bus.removeEventListener(name, known[name]))
  bus.addEventListener(name, known[name])
}

const say = (name, detail) => bus.dispatchEvent(new CustomEvent(name, { detail }))

// One run at a time; what is asked for meanwhile waits, and only the newest of it is done.
function latest(run) {
  let busy = false
  let next = null
  return async function ask(value) {
    if (busy) return void (next = [value])
    busy = true
    try {
      await run(value)
    } finally {
      busy = false
      if (next) {
        const [wanted] = next
        next = null
        ask(wanted)
      }
    }
  }
}

// Ask the server for a message (see envelope.js); throws an Error with the reason in words, and with `lost` where the
// server has closed what the address stands for: the page's script opens it again.
async function ask(url, query) {
  let response
  try {
    response = await fetch(`${here(url)}?${new URLSearchParams(query)}`, { cache: "no-store" })
  } catch {
    throw new Error("The server does not answer.")
  }
  if (response.ok) return unpack(new Uint8Array(await response.arrayBuffer()))
  const { reason } = await response.json().catch(() => ({}))
  throw Object.assign(new Error(reason ?? `The server answered ${response.status}.`), { lost: response.status === 404 })
}
