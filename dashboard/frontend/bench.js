// The picture before and after, a loupe on both at native resolution, and their histograms. Follows the sliders through
// `bus`; pictures come from the server by HTTP, so that nothing waits for the page's script.
export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".bench")
  const compare = root.querySelector(".compare")
  const state = (root._bench ??= { pinned: null, hover: null, geometry: "", lens: "", asked: "", recipe: {}, side: 320 })
  const [before, after] = compare.querySelectorAll(".side img")
  const lenses = [...root.querySelectorAll(".loupe img")]
  const frame = root.querySelector(".frame")
  root.style.setProperty("--height", data.height + "px")
  root.querySelector(".tag.left").textContent = "before"
  root.querySelector(".tag.right").textContent = "after"
  if (state.url !== data.url) Object.assign(state, { url: data.url, geometry: "", lens: "", asked: "", pinned: null })

  const spot = () => state.hover ?? state.pinned ?? [0.4, 0.5]
  const view = swipe(compare, {
    onSpot: (share, kind) => {
      if (kind === "click") state.pinned = share
      const hover = kind === "hover" ? share : null
      if (kind === "leave" && !state.hover) return
      state.hover = hover
      look()
    },
    onDraw: () => outline(),
  })
  // the square of the picture that the loupe shows: as many pixels as fit into its box, one to one
  const outline = () => {
    const at = view.place(...spot())
    const box = lenses[0].parentElement.getBoundingClientRect()
    const [width, height] = [Math.min(box.width, state.side) * at.scale, Math.min(box.height, state.side) * at.scale]
    Object.assign(frame.style, {
      left: at.x - width / 2 + "px",
      top: at.y - height / 2 + "px",
      width: width + "px",
      height: height + "px",
      display: view.width ? "block" : "none",
    })
  }
  const place = (values) => ({ x: values[0].toFixed(5), y: values[1].toFixed(5) })
  const problem = (text) => {
    const note = root.querySelector(".problem")
    note.textContent = text
    note.hidden = !text
  }

  // what others have pushed out of the server's memory is opened again by the page's script, which then draws this anew
  const failed = (error) => {
    state.asked = ""
    if (!error.lost || Date.now() - (state.reopened ?? 0) < 5000) return problem(error.message)
    state.reopened = Date.now()
    setTriggerValue("lost", String(state.reopened))
  }

  // functions of the first call stay in use: they read everything from `state`
  state.picture ??= latest(async (recipe) => {
    const { url, geometry, lens } = state
    try {
      const at = spot()
      const [header, blobs] = await ask(url + "picture", {
        recipe: JSON.stringify(recipe),
        ...place(at),
        seen: geometry,
        lens,
      })
      if (url !== state.url) return
      Object.assign(view, { width: header.width, height: header.height })
      await swap([after, before, ...lenses], blobs, () => url === state.url)
      Object.assign(state, { geometry: header.geometry, lens: header.lens })
      root.dataset.recipe = header.recipe
      state.pinned ??= header.spot // until somebody places it, the loupe is where there is something to see
      problem("")
      view.draw()
      histogram(root.querySelector(".histogram"), header)
      if (String(at) !== String(spot())) look()
      say("result", { ...header, full: recipe, current: JSON.stringify(recipe) === state.asked })
    } catch (error) {
      failed(error)
    }
  })
  state.loupe ??= latest(async (at) => {
    const { url, recipe } = state
    try {
      const [header, blobs] = await ask(url + "loupe", { recipe: JSON.stringify(recipe), ...place(at) })
      await swap(lenses, blobs, () => url === state.url)
      state.lens = header.lens
      root.dataset.spot = at.map((value) => value.toFixed(4)).join(" ")
    } catch (error) {
      failed(error)
    }
  })
  const look = () => {
    outline()
    state.loupe(spot())
  }
  const show = (values) => {
    state.recipe = { ...state.base, ...values }
    const wanted = JSON.stringify(state.recipe)
    if (wanted === state.asked) return
    state.asked = wanted
    state.picture(state.recipe)
  }
  state.base = data.recipe
  show(bus.dirty ? bus.values : {})
  hear(root, "values", show)

  compare.onkeydown = (event) => {
    state.pinned ??= spot()
    const step = (event.shiftKey ? 160 : 16) / (view.width || 1000)
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }
    const box = compare.getBoundingClientRect()
    const zoom = { "+": 1.25, "=": 1.25, "-": 0.8 }[event.key]
    if (zoom) {
      const at = view.place(...state.pinned)
      view.zoomTo(view.zoom * zoom, Math.min(box.width, Math.max(0, at.x)), Math.min(box.height, Math.max(0, at.y)))
    } else if (event.key === "0") view.reset()
    else if (moves[event.key]) {
      const [dx, dy] = moves[event.key]
      const inside = (value) => Math.min(0.99999, Math.max(0, value))
      state.pinned = [
        inside(state.pinned[0] + dx * step),
        inside(state.pinned[1] + (dy * step * (view.width || 1)) / (view.height || 1)),
      ]
      state.hover = null
      look()
    } else return
    event.preventDefault()
  }
  view.draw()
}

// Shares of grey levels before (dotted) and after (filled), as two lines over a common scale.
function histogram(figure, header) {
  const [old, now] = [header.histogram_before, header.histogram_after]
  const top = Math.max(...now, ...old.map((value) => Math.min(value, 3 * Math.max(...now))), 0.1)
  const points = (values) =>
    values.flatMap((value, index) => {
      const y = 100 - (Math.min(value, top) / top) * 98
      return [`${index * 4},${y.toFixed(1)}`, `${index * 4 + 4},${y.toFixed(1)}`]
    })
  figure.querySelector(".old").setAttribute("points", points(old).join(" "))
  figure.querySelector(".now").setAttribute("points", ["0,100", ...points(now), "256,100"].join(" "))
}
