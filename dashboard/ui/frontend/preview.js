// The picture before and after, a loupe on both at native resolution, and their histograms. Follows the sliders through
// `bus`; pictures come from the server by HTTP, so that nothing waits for the page's script.
export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".preview")
  const compare = root.querySelector(".compare")
  const state = (root._preview ??= { pinned: null, hover: null, geometry: "", lens: "", asked: "", recipe: {}, side: 320 })
  const [before, after] = compare.querySelectorAll(".side > img:not(.part)")
  const lenses = [...root.querySelectorAll(".loupe img")]
  const frame = root.querySelector(".frame")
  const ruler = root.querySelector(".ruler")
  // a part of the picture at native resolution lies over each side, once the view is closer than the preview is sharp
  const parts = [after, before].map((image) => {
    if (!image.nextElementSibling) image.after(Object.assign(new Image(), { className: "part", alt: "", hidden: true }))
    return image.nextElementSibling
  })
  root.style.setProperty("--height", data.height + "px")
  measureAbove(root)
  root.querySelector(".tag.left").textContent = "before"
  root.querySelector(".tag.right").textContent = "after"
  if (state.url !== data.url)
    Object.assign(state, { url: data.url, geometry: "", lens: "", asked: "", pinned: null, cut: null, spacing: null })
  root.classList.toggle("as-stored", data.as_stored)
  const lines = lesionLines(data.lesions, ...data.size)
  root.querySelector(".lesions").replaceChildren(...(data.lesions.length ? [lines] : []))

  // until somebody places it, the loupe is at the lesion, or where there is something to see
  state.spot = data.spot
  const spot = () => state.hover ?? state.pinned ?? state.spot ?? [0.4, 0.5]
  const view = swipe(compare, {
    onSpot: (share, kind) => {
      if (kind === "click") state.pinned = share
      const hover = kind === "hover" ? share : null
      if (kind === "leave" && !state.hover) return
      state.hover = hover
      look()
    },
    onDraw: ({ zoom }) => {
      compare.style.setProperty("--zoom", zoom)
      outline()
      lay()
      measure()
      state.refine?.()
      tools.draw()
    },
  })
  keyHelp(compare, [
    ["drag the bar", "before and after"],
    ["space (hold)", "before"],
    ["click, arrows", "place the loupe (with shift: in large steps)"],
    ["wheel, + −", "zoom"],
    ["drag", "move when zoomed"],
    ["right drag, W + arrows", "window: right for less contrast, down for darker"],
    ["M or D, drag", "measure a distance; Delete removes it"],
    ["I, F, R", "invert, full screen, reset"],
    ...KEYS.slice(2),
  ])
  const tools = reading(root.querySelector(".inner"), compare, view, () => state.spacing && [state.spacing, state.spacing])
  // what of the picture is seen (shares of width and height), and how many screen pixels one of its pixels takes
  const seen = () => {
    const { width, height } = compare.getBoundingClientRect()
    const { x, y, scale } = view.place(0, 0)
    const [w, h] = [view.width * scale, view.height * scale]
    const inside = (value) => Math.min(1, Math.max(0, value))
    const edges = [-x / w, -y / h, (width - x) / w, (height - y) / h]
    return { edges: edges.map(inside), dots: scale * devicePixelRatio, around: [(0.12 * width) / w, (0.12 * height) / h] }
  }
  const lay = () => {
    for (const image of parts) image.hidden = !state.cut
    root.dataset.part = state.cut?.name ?? ""
    const enlarged = view.place(0, 0).scale * devicePixelRatio
    compare.classList.toggle("crisp", enlarged >= 2 && (Boolean(state.cut) || after.naturalWidth === view.width))
    if (!state.cut) return
    const [from, to] = [view.place(...state.cut.part.slice(0, 2)), view.place(...state.cut.part.slice(2))]
    const [left, top, width, height] = [from.x, from.y, to.x - from.x, to.y - from.y].map((size) => size + "px")
    for (const image of parts) Object.assign(image.style, { left, top, width, height })
  }
  // what to ask for at native resolution: the part seen and a little around it; null where the preview is sharp enough
  const wanted = () => {
    if (!view.width || !after.naturalWidth || after.naturalWidth === view.width) return null
    const { edges, dots, around } = seen()
    if (dots <= (1.2 * after.naturalWidth) / view.width || edges[0] >= edges[2] || edges[1] >= edges[3]) return null
    const part = edges.map((edge, index) => Math.min(1, Math.max(0, edge + (index < 2 ? -1 : 1) * around[index % 2])))
    const across = (part[2] - part[0]) * view.width
    const wide = Math.min(across, across * dots, 3072)
    return { part, wide: Math.max(1, Math.floor(wide)), sharp: wide / across }
  }
  const asCut = ({ cut, part }, { sharp }, recipe) => ({ name: cut, part, geometry: cut.split(":")[0], sharp, recipe })
  // the part before was left out for one that has been replaced meanwhile
  const stale = (before, { cut }) => !before.size && state.cut?.name !== cut
  const asPart = (want) => [...want.part.map((edge) => edge.toFixed(6)), want.wide].join(",")
  const covered = (want) => {
    const { part, geometry, sharp } = state.cut ?? {}
    if (geometry !== state.geometry || sharp <= 0.8 * want.sharp) return false
    return seen().edges.every((edge, index) => (index < 2 ? part[index] - edge : edge - part[index]) <= 1e-6)
  }
  // a scale bar in mm where the file has the size of a pixel, and how large a pixel of the image is on the screen
  const measure = () => {
    ruler.hidden = !view.width
    if (!view.width) return
    drawScale(ruler, view.place(0, 0).scale, state.spacing)
  }
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

  // what others have pushed out of the server's memory is opened again by the page's script, and asked for until it is
  const failed = (error) => {
    state.asked = ""
    const since = Date.now() - (state.reopened ?? 0)
    if (!error.lost || (since > 5000 && since < 10_000)) return problem(error.message)
    if (since >= 10_000) {
      state.reopened = Date.now()
      setTriggerValue("lost", String(state.reopened))
    }
    clearTimeout(state.retry)
    state.retry = setTimeout(() => root.isConnected && show(bus.dirty ? bus.values : {}), 700)
  }

  // functions of the first call stay in use: they read everything from `state`
  state.picture ??= coalesce(async (recipe) => {
    const { url, geometry, lens } = state
    try {
      const at = spot()
      const want = wanted()
      const [header, blobs] = await request(url + "picture", {
        recipe: JSON.stringify(recipe),
        ...place(at),
        seen: geometry,
        lens,
        ...(want && { part: asPart(want), cut: state.cut?.name ?? "" }),
      })
      if (url !== state.url) return
      Object.assign(view, { width: header.width, height: header.height })
      const fits = want && !stale(blobs[5], header)
      await swap([after, before, ...lenses, ...(fits ? parts : [])], fits ? blobs : blobs.slice(0, 4), () => url === state.url)
      Object.assign(state, { geometry: header.geometry, lens: header.lens, spacing: header.spacing })
      if (fits) state.cut = asCut(header, want, recipe)
      else if (state.cut?.recipe !== recipe) state.cut = null
      root.dataset.recipe = header.recipe
      state.pinned ??= state.spot ?? header.spot
      problem("")
      view.draw()
      histogram(root.querySelector(".histogram"), header)
      if (String(at) !== String(spot())) look()
      emit("result", { ...header, full: recipe, current: JSON.stringify(recipe) === state.asked })
    } catch (error) {
      failed(error)
    }
  })
  state.loupe ??= coalesce(async (at) => {
    const { url, recipe } = state
    try {
      const [header, blobs] = await request(url + "loupe", { recipe: JSON.stringify(recipe), ...place(at) })
      await swap(lenses, blobs, () => url === state.url)
      state.lens = header.lens
      root.dataset.spot = at.map((value) => value.toFixed(4)).join(" ")
    } catch (error) {
      failed(error)
    }
  })
  state.native ??= coalesce(async (want) => {
    const { url, recipe } = state
    try {
      const [header, blobs] = await request(url + "native", { recipe: JSON.stringify(recipe), part: asPart(want), cut: state.cut?.name ?? "" })
      // of the picture that is shown now, or it is asked for again when that has come
      if (recipe !== state.recipe || stale(blobs[1], header)) return state.refine()
      if (!(await swap(parts, blobs, () => url === state.url && recipe === state.recipe))) return
      state.cut = asCut(header, want, recipe)
      lay()
      state.refine()
    } catch (error) {
      failed(error)
    }
  })
  state.refine ??= () => {
    const want = wanted()
    if (!want && state.cut) {
      state.cut = null
      lay()
    } else if (want && !covered(want)) state.native(want)
  }
  const look = () => {
    outline()
    state.loupe(spot())
  }
  const show = (values) => {
    const recipe = { ...state.base, ...values }
    if (JSON.stringify(recipe) === state.asked) return
    state.asked = JSON.stringify(recipe)
    state.recipe = recipe
    state.picture(state.recipe)
  }
  state.base = data.recipe
  show(bus.dirty ? bus.values : {})
  on(root, "values", show)

  compare.onkeydown = (event) => {
    state.pinned ??= spot()
    const step = (event.shiftKey ? 160 : 16) / (view.width || 1000)
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }
    const box = compare.getBoundingClientRect()
    if (moves[event.key]) {
      const [dx, dy] = moves[event.key]
      const inside = (value) => Math.min(0.99999, Math.max(0, value))
      state.pinned = [
        inside(state.pinned[0] + dx * step),
        inside(state.pinned[1] + (dy * step * (view.width || 1)) / (view.height || 1)),
      ]
      state.hover = null
      event.preventDefault()
      look()
      // the view follows the loupe
      const at = view.place(...state.pinned)
      const out = (value, size) => Math.min(0, size - 40 - value) + Math.max(0, 40 - value)
      if (view.zoom > 1) view.pan(out(at.x, box.width), out(at.y, box.height))
    } else {
      const at = view.place(...state.pinned)
      view.key(event, [Math.min(box.width, Math.max(0, at.x)), Math.min(box.height, Math.max(0, at.y))])
    }
  }
  state.resized ??= new ResizeObserver(() => view.draw())
  state.resized.observe(compare)
  view.draw()
}

// Shares of grey levels before (dotted) and after (filled), as two lines over a common scale.
function histogram(box, header) {
  const [old, now] = [header.histogram_before, header.histogram_after]
  const top = Math.max(...now, ...old.map((value) => Math.min(value, 3 * Math.max(...now))), 0.1)
  const points = (values) =>
    values.flatMap((value, index) => {
      const y = 100 - (Math.min(value, top) / top) * 98
      return [`${index * 4},${y.toFixed(1)}`, `${index * 4 + 4},${y.toFixed(1)}`]
    })
  box.querySelector(".old").setAttribute("points", points(old).join(" "))
  box.querySelector(".now").setAttribute("points", ["0,100", ...points(now), "256,100"].join(" "))
}
