// Tools for a picture of swipe.js, as the image viewer has them: window and inversion (a filter over its images, so without the
// server), distances, full screen. `compare` is the picture, `view` its state, `inner` what fills the screen; the bar of tools
// is put before the picture. `spacing()` gives (row, column) in mm, or null. Returns the state; `draw()` follows the view.
function reading(inner, compare, view, spacing) {
  if (inner._reading) return inner._reading
  const state = (inner._reading = { tool: "pan", window: WHOLE, inverted: false, lines: [], begun: null })
  const [bar, buttons] = toolbar([["pan", "window", "measure"], ["invert"], ["fit", "actual", "reset"], ["full"]], (name) => act(name))
  const drawing = svg("svg", { class: "distances", "aria-hidden": "true" })
  compare.before(bar)
  compare.append(drawing)
  bar.append(compare.querySelector(".help button"))
  const place = ([x, y]) => view.place(x / view.width, y / view.height)
  const point = (event) => {
    const { left, top } = compare.getBoundingClientRect()
    const [start, end] = [view.place(0, 0), view.place(1, 1)]
    const share = [(event.clientX - left - start.x) / (end.x - start.x), (event.clientY - top - start.y) / (end.y - start.y)]
    return [share[0] * view.width, share[1] * view.height]
  }
  state.draw = () => {
    const usual = state.window.centre === WHOLE.centre && state.window.width === WHOLE.width && !state.inverted
    inner.style.setProperty("--window", usual ? "brightness(1)" : windowFilter(state.window, state.inverted))
    inner.classList.toggle("windowed", !usual)
    for (const name of TOOLS) buttons[name].setAttribute("aria-pressed", String(state.tool === name))
    buttons.invert.setAttribute("aria-pressed", String(state.inverted))
    compare.dataset.tool = state.tool
    if (!view.width) return
    drawing.replaceChildren(
      ...[...state.lines, ...(state.begun ? [state.begun] : [])].flatMap(([from, to]) => {
        const [one, other] = [place(from), place(to)]
        const ends = { x1: one.x, y1: one.y, x2: other.x, y2: other.y }
        const words = svg("text", { x: Math.max(one.x, other.x) + 8, y: (one.y + other.y) / 2 + 5 })
        words.textContent = distance(from, to, spacing())
        return [svg("line", { ...ends, class: "rim" }), svg("line", ends), words]
      }),
    )
  }
  const act = (name) => {
    if (TOOLS.includes(name)) state.tool = state.tool === name ? "pan" : name
    else if (name === "invert") state.inverted = !state.inverted
    else if (name === "full") fullScreen(inner)
    else if (name === "fit") view.reset()
    else if (name === "actual") view.key(new KeyboardEvent("keydown", { key: "1" }))
    else if (name === "reset") {
      Object.assign(state, { window: WHOLE, inverted: false })
      view.reset()
    }
    state.draw()
  }
  // before swipe.js sees them: what belongs to a tool
  compare.addEventListener("contextmenu", (event) => event.preventDefault())
  compare.addEventListener(
    "pointerdown",
    (event) => {
      const tool = event.button === 2 ? "window" : event.button === 0 && !event.target.closest(".bar, .help") ? state.tool : "pan"
      if (tool === "pan" || !view.width) return
      event.preventDefault()
      event.stopImmediatePropagation()
      compare.focus({ preventScroll: true })
      compare.setPointerCapture(event.pointerId)
      const { width, height } = compare.getBoundingClientRect()
      let [x, y] = [event.clientX, event.clientY]
      if (tool === "measure") state.begun = [point(event), point(event)]
      const hover = compare.onpointermove
      compare.onpointermove = (moving) => {
        if (tool === "measure") state.begun = [state.begun[0], point(moving)]
        else state.window = dragged(state.window, (moving.clientX - x) / width, (moving.clientY - y) / height)
        ;[x, y] = [moving.clientX, moving.clientY]
        state.draw()
      }
      compare.onpointerup = compare.onpointercancel = () => {
        compare.onpointermove = hover
        compare.onpointerup = compare.onpointercancel = null
        const { begun } = state
        state.begun = null
        if (begun && Math.hypot(begun[1][0] - begun[0][0], begun[1][1] - begun[0][1]) * view.place(0, 0).scale > 4) state.lines.push(begun)
        state.draw()
      }
    },
    true,
  )
  inner.addEventListener(
    "keydown",
    (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest(".bar, input")) return
      const name = BY_KEY[event.key.toLowerCase()]
      const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key]
      if (arrow && state.tool === "window") state.window = dragged(state.window, 0.05 * arrow[0], 0.05 * arrow[1])
      else if (event.key === "Delete" || event.key === "Backspace") state.lines.pop()
      else if (name in buttons && !["fit", "actual"].includes(name)) event.repeat || act(name)
      else return
      event.preventDefault()
      event.stopImmediatePropagation()
      state.draw()
    },
    true,
  )
  state.draw()
  return state
}
