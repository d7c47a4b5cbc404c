// The threshold slider and the metrics at the threshold. Everything that follows it holds a value for each step of the grid
// already, so a moving hand asks nothing of the server; the page hears of the threshold ("changed") when the hand rests.
export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".dial")
  const state = (root._dial ??= { index: -1, awaiting: null })
  const find = (selector) => root.querySelector(selector)
  const range = find("input")
  Object.assign(state, { data, report: (value) => setTriggerValue("changed", value) })

  state.place ??= (index) => {
    const { grid, frozen } = state.data
    state.index = Math.min(grid.length - 1, Math.max(0, index))
    range.value = grid[state.index]
    range.style.setProperty("--filled", share(grid[state.index]))
    range.setAttribute("aria-valuetext", grid[state.index].toFixed(3))
    const moved = state.index !== frozen
    find(".value").textContent = grid[state.index].toFixed(3)
    find(".badge").textContent = moved ? "exploring" : "fixed (in use)"
    find(".badge").title = moved
      ? "Only this page shows metrics at this threshold."
      : "Chosen on validation and stored with the model: it decides with this threshold everywhere."
    find(".badge").classList.toggle("moved", moved)
    find(".words").textContent = moved ? `Nothing is changed: the model decides at ${grid[frozen].toFixed(3)}.` : state.data.words
    find(".reset").hidden = !moved
    for (const card of state.data.cards) fill(root.querySelector(`[data-card="${card.name}"]`), card, state.index, moved && frozen)
    bus.dials = { ...bus.dials, [state.data.dial]: state.index }
    emit("threshold", { dial: state.data.dial, index: state.index })
    root.dataset.threshold = grid[state.index]
  }
  const share = (value) => {
    const { grid } = state.data
    return ((value - grid[0]) / (grid.at(-1) - grid[0] || 1)) * 100 + "%"
  }
  state.commit ??= () => {
    clearTimeout(state.timer)
    if (!state.dirty) return
    state.dirty = false
    state.awaiting = state.data.grid[state.index]
    clearTimeout(state.patience)
    state.patience = setTimeout(() => (state.awaiting = null), 4000)
    state.report(state.awaiting)
  }
  state.move ??= (index) => {
    if (index === state.index) return
    state.dirty = true
    state.place(index)
    clearTimeout(state.timer)
    if (!state.held) state.timer = setTimeout(state.commit, 350)
  }
  const nearest = (value) => {
    const { grid, frozen } = state.data
    const width = (grid.at(-1) - grid[0]) / 300 // so that the hand finds the frozen one again
    if (Math.abs(value - grid[frozen]) < width) return frozen
    let best = 0
    grid.forEach((each, index) => Math.abs(each - value) < Math.abs(grid[best] - value) && (best = index))
    return best
  }

  Object.assign(range, { min: data.grid[0], max: data.grid.at(-1), step: "any" })
  range.oninput = () => {
    const index = nearest(Number(range.value))
    if (index === state.index) range.value = state.data.grid[index]
    state.move(index)
  }
  commitOnRelease(range, state, state.commit)
  range.onkeydown = (event) => {
    const far = Math.round(state.data.grid.length / 20)
    const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -far, PageUp: far, Home: -1e6, End: 1e6 }[event.key]
    if (!step) return
    event.preventDefault()
    state.move(Math.min(state.data.grid.length - 1, Math.max(0, state.index + step)))
  }
  find(".reset").onclick = () => {
    state.move(state.data.frozen)
    state.commit()
  }

  const shape = JSON.stringify(data.cards.map(({ name, title, help }) => [name, title, help]))
  if (state.shape !== shape) {
    state.shape = shape
    find(".cards").replaceChildren(...data.cards.map(card))
  }
  find(".mark").style.left = share(data.grid[data.frozen])
  find(".mark").title = `in use: ${data.grid[data.frozen].toFixed(3)}`
  // the server's threshold, unless a newer one is on its way to it
  const same = state.awaiting === null || state.awaiting === data.grid[data.index]
  if (same) state.awaiting = null
  state.place(state.dirty || !same ? nearest(Number(range.value)) : data.index)
}

function card({ name, title, help }) {
  const lines = ["number", "limits", "was"].map((part) => element("div", { className: part }))
  const box = element("div", { className: "card", title: help }, element("div", { className: "title", textContent: title }), ...lines)
  box.dataset.card = name
  return box
}

function fill(box, { values, lows, highs, note, detail }, index, frozen) {
  const at = (list, i) => (list.length === 1 ? list[0] : list[i])
  const text = (i) => (typeof at(values, i) === "number" ? at(values, i).toFixed(3) : at(values, i) ?? "–")
  const none = note || at(values, index) === null
  box.querySelector(".number").textContent = note ? "–" : text(index)
  const limits = note ? "too few patients" : none ? "nothing to count" : detail ? at(detail, index) : ""
  box.querySelector(".limits").textContent = lows && !none ? `[${at(lows, index).toFixed(3)}, ${at(highs, index).toFixed(3)}]` : limits
  if (note) box.title = note
  box.querySelector(".was").textContent = frozen !== false && values.length > 1 && !note ? `in use ${text(frozen)}` : ""
}
