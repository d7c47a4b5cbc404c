// The sliders of grey levels, and the numbers that follow them. While one moves, the picture gets events on `bus`; the page
// gets the values ("changed") when the slider comes to rest.
export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".sliders")
  const state = (root._sliders ??= { fields: {}, awaiting: null })
  state.report = (values) => setTriggerValue("changed", values)

  const values = () =>
    Object.fromEntries(
      Object.entries(state.fields).map(([name, { range }]) => [name, range.type === "checkbox" ? range.checked : Number(range.value)]),
    )
  const fill = () => {
    for (const { range } of Object.values(state.fields))
      range.style.setProperty("--filled", ((range.value - range.min) / (range.max - range.min)) * 100 + "%")
  }
  const moved = () => {
    fill()
    bus.values = values()
    bus.dirty = true
    enable()
    emit("values", bus.values)
  }
  const commit = () => {
    clearTimeout(state.timer)
    if (!bus.dirty) return
    bus.dirty = false
    const now = values()
    state.awaiting = JSON.stringify(now)
    clearTimeout(state.patience)
    state.patience = setTimeout(() => ((state.awaiting = null), apply()), 4000)
    state.report(now)
  }
  const soon = () => {
    clearTimeout(state.timer)
    state.timer = setTimeout(commit, 400)
  }
  const enable = () => {
    const on = state.fields.clahe?.range.checked ?? true
    for (const name of ["clip_limit", "tile_grid"])
      for (const input of Object.values(state.fields[name] ?? {})) input.disabled = !on
  }
  // the server's values, unless newer ones are on their way to it
  const apply = () => {
    const { wanted } = state
    if (bus.dirty || (state.awaiting !== null && state.awaiting !== JSON.stringify(wanted))) return
    state.awaiting = null
    for (const [name, { range, number }] of Object.entries(state.fields)) {
      if (range.type === "checkbox") range.checked = wanted[name]
      else range.value = number.value = wanted[name]
    }
    bus.values = values()
    fill()
    enable()
    emit("values", bus.values)
  }

  const shape = JSON.stringify(data.fields)
  if (state.shape !== shape) {
    state.shape = shape
    state.fields = {}
    root.querySelector(".fields").replaceChildren(...data.fields.map((field) => row(field)))
  }
  function row(field) {
    const name = element("span", { textContent: field.label })
    if (field.kind === "switch") {
      const range = element("input", { type: "checkbox", role: "switch", onchange: () => (moved(), commit()) })
      state.fields[field.name] = { range }
      return element("label", { className: "switch", title: field.help }, range, name)
    }
    const limits = { min: field.min, max: field.max, step: field.step }
    const range = element("input", { type: "range", ariaLabel: field.label, ...limits })
    const number = element("input", { type: "number", ariaLabel: `${field.label}, exact`, ...limits })
    range.dataset.name = field.name
    range.oninput = () => {
      number.value = range.value
      moved()
      if (!state.held) soon()
    }
    commitOnRelease(range, state, commit)
    number.onchange = () => {
      if (number.value !== "") range.value = number.value
      number.value = range.value
      moved()
      commit()
    }
    state.fields[field.name] = { range, number }
    return element("label", { className: "slide", title: field.help }, name, number, range)
  }
  state.wanted = data.values
  apply()

  on(root, "result", (result) => {
    const times = (value) => (value === null ? "–" : `×${value.toFixed(2)}`)
    root.querySelector(".contrast").textContent = times(result.contrast)
    root.querySelector(".noise").textContent = times(result.noise)
  })
}
