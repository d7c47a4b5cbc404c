// The image viewer: one or more pictures side by side, made of tiles (tilestore.js), with the tools of a reading room. `data`:
// panes of {title, note, problem, pictures, size, spacing, spot, anchor, side, mirrored, over}; the pictures of a pane lie over
// each other, {name, url, query, size, matrix, lesions, label}, the second one right of a bar; `matrix` leads from a picture's
// own pixels to the pane's. `onLost` is called when the server no longer knows an image; `drawOver(context, pane, matrix, dots)`
// draws over the picture of a pane that says `over`, given the way from the pane's pixels to the canvas's: with
// `state.swiping` only right of a bar. Returns the state, with `draw()`.
const LIST = [
  ["wheel, + −", "zoom"],
  ["drag, arrows", "what the tool does: P move, W window, M or D measure (arrows place the point, Enter sets it)"],
  ["right drag, W + drag", "window: right for less contrast, down for darker"],
  ["1, 0", "100 %, whole picture"],
  ["I, T, H, V", "invert, rotate, flip left to right, flip top to bottom"],
  ["L", "loupe; shift + arrows move it"],
  ["O", "lesion outlines"],
  ["space (hold)", "the image alone; of two the left one"],
  ["K", "move pictures together or apart"],
  ["Delete", "remove the last distance"],
  ["F, Escape", "full screen and back"],
  ["R, double click", "reset"],
]
const START = { zoom: 1, x: 0, y: 0, window: WHOLE, inverted: false, lie: { turns: 0, mirrored: false } }
const CLOSEST = 8 // screen pixels for one of the picture's, at most
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }

function viewing(root, data, { onLost, drawOver } = {}) {
  const state = (root._viewing ??= { panes: [], tool: "pan", linked: true, outlines: true, loupe: false, split: 0.5 })
  Object.assign(state, { onLost, drawOver })
  root.style.setProperty("--height", data.height + "px")
  measureAbove(root)
  if (!state.store) prepare(root, state)
  if (state.shown === JSON.stringify(data)) return state
  state.shown = JSON.stringify(data)
  const before = state.subject === data.subject && state.panes.length === data.panes.length ? state.panes : []
  if (!before.length) Object.assign(state, { point: null, begun: null, linked: data.linked ?? true })
  state.subject = data.subject
  state.panes = data.panes.map((spec, index) => buildPane(state, { ...spec, index }, before[index]))
  state.active = state.panes[Math.max(0, before.indexOf(state.active))]
  state.stage.replaceChildren(...state.panes.map(({ box }) => box), state.status, state.problem)
  state.stage.style.setProperty("--columns", state.panes.length)
  state.buttons.linked.hidden = state.panes.length < 2
  state.buttons.outlines.hidden = !state.panes.some(({ pictures }) => pictures.some(({ lesions }) => lesions.length))
  state.store.retry()
  state.draw()
  return state
}

// The toolbar and everything that is there once.
function prepare(root, state) {
  const groups = [["pan", "window", "measure", "loupe", "outlines"], ["invert", "rotate", "horizontal", "vertical"], ["fit", "actual", "reset"], ["linked", "full"]]
  const [bar, buttons] = toolbar(groups, (name) => act(root, state, name))
  state.buttons = buttons
  state.status = element("output", { className: "status" })
  state.problem = element("div", { className: "problem", hidden: true })
  state.problem.setAttribute("role", "alert")
  state.stage = element("div", { className: "stage" })
  root.replaceChildren(bar, state.stage)
  keyHelp(root, LIST)
  bar.append(root.querySelector(".help button"))
  state.store = tileStore(
    async ({ picture, level, x, y, width, height }) =>
      unpackTile(await ask(picture.url + "tile", { ...picture.query, level, column: x, row: y }), width, height),
    (error) => {
      if (error) failed(state, error)
      else state.problem.hidden = true
      state.draw()
    },
  )
  // all changes of one frame are drawn at once
  state.draw = () => {
    if (state.due) return
    state.due = true
    requestAnimationFrame(() => {
      state.due = false
      if (root.isConnected && state.stage.clientWidth) drawAll(root, state)
    })
  }
  new ResizeObserver(() => state.draw()).observe(state.stage)
  root.addEventListener("keydown", (event) => pressed(root, state, event))
  root.addEventListener("keyup", (event) => released(state, event))
  root.addEventListener("focusout", () => Object.assign(state, { held: false }) && state.draw())
}

// What others have pushed out of the server's memory is opened again by the page's script, and then asked for again.
function failed(state, error) {
  if (error.lost && Date.now() - (state.asked ?? 0) > 10_000) {
    state.asked = Date.now()
    state.onLost?.()
    return void setTimeout(() => state.store.retry(), 1500)
  }
  Object.assign(state.problem, { hidden: false, textContent: error.message })
}

function buildPane(state, spec, old) {
  // distances stay where they were measured, as long as the pane's pixels are the same ones
  const lines = String(old?.frame) === String(spec.frame) ? old.lines : []
  const pane = { ...spec, look: old?.look ?? { ...START }, lines, planes: old?.planes ?? new Map() }
  pane.pictures = spec.pictures.map((picture) => ({
    ...picture,
    width: picture.size[0],
    height: picture.size[1],
    levels: pyramid(...picture.size),
  }))
  const tag = (kind, words) => element("span", { className: `tag ${kind}`, textContent: words })
  const names = spec.over ? ["image", spec.over] : pane.pictures.length > 1 ? pane.pictures.map(({ label }) => label) : []
  const labels = names.map((name, index) => tag(index ? "right" : "left", name))
  const title = [spec.title, spec.mirrored ? "mirrored" : ""].filter(Boolean).join(" · ")
  pane.canvas = element("canvas", { role: "img", ariaLabel: [spec.title || "the image", spec.about].filter(Boolean).join(". ") })
  pane.box = element("div", { className: "pane", tabIndex: 0 }, pane.canvas, title ? tag("title", title) : null, ...labels)
  pane.box.setAttribute("role", "group")
  pane.box.setAttribute("aria-label", `${title || "Image"}: plus and minus zoom, arrow keys move, ? lists all keys`)
  if (spec.problem) pane.box.append(element("p", { className: "refused", textContent: spec.problem }))
  pane.ruler = element("div", { className: "ruler" }, element("span", { className: "mm" }), element("span", { className: "percent" }), element("i", {}))
  pane.ruler.title = "Size on the screen: of mm as in the file (at the detector where it has no more), and of a pixel of the image"
  pane.box.append(pane.ruler)
  if (spec.note) pane.box.append(element("p", { className: "note", textContent: spec.note }))
  if (labels.length) {
    pane.bar = element("div", { className: "bar", tabIndex: 0, role: "slider", ariaLabel: names.join(" and ") })
    pane.bar.ariaValueMin = "0"
    pane.bar.ariaValueMax = "100"
    pane.box.append(pane.bar)
  }
  pane.box.onfocus = () => (state.active = pane)
  handle(state, pane)
  return pane
}

// ---------------------------------------------------------------- drawing

const boxOf = ({ box }) => [box.clientWidth, box.clientHeight]
const lieOf = (pane) => ({ ...pane.look.lie, mirrored: pane.look.lie.mirrored !== Boolean(pane.mirrored) })
// Whether a bar parts what is seen of a pane: two pictures, or a picture and what lies over it.
const parted = (state, pane) => pane.pictures.length > 1 || Boolean(pane.over && state.swiping)
const shownSize = (pane) => (pane.look.lie.turns % 2 ? [...pane.size].reverse() : pane.size)

// Where each pane's pixels lie on the screen: `pane.matrix` to those of its box, `pane.scale` of these for one of the pane's.
function place(state) {
  const measured = state.panes.map((pane) => ({ box: boxOf(pane), size: shownSize(pane), spacing: pane.spacing }))
  const scales = fits(measured)
  state.panes.forEach((pane, index) => {
    const { box, size } = measured[index]
    pane.fit = scales[index]
    pane.scale = pane.fit * pane.look.zoom
    pane.shown = size.map((length) => length * pane.scale)
    // on whole pixels of the screen, so that at 100 % each shows one of the picture's
    pane.at = corner(box, pane.shown, pane.look, pane).map((start) => Math.round(start * devicePixelRatio) / devicePixelRatio)
    pane.matrix = times([pane.scale, 0, 0, pane.scale, ...pane.at], lying(lieOf(pane), ...pane.size))
  })
}

function tableOf(state, { window, inverted }) {
  const name = `${window.centre} ${window.width} ${inverted}`
  if (state.table?.name !== name) state.table = { name, values: lookup(window, inverted) }
  return state.table.values
}

function drawAll(root, state) {
  place(state)
  const wanted = state.panes.flatMap((pane) => drawPane(state, pane))
  state.store.want(wanted)
  const alike = new Set(state.panes.map(({ scale, spacing }) => (scale / (spacing?.[1] ?? 1)).toFixed(6))).size === 1
  for (const pane of state.panes) {
    pane.ruler.hidden = !pane.pictures.length || (alike && pane !== state.panes[0])
    drawScale(pane.ruler, pane.scale, pane.spacing?.[1])
    pane.box.style.setProperty("--split", state.split * 100 + "%")
    pane.bar?.setAttribute("aria-valuenow", Math.round(state.split * 100))
    pane.box.classList.toggle("held", Boolean(state.held))
    pane.box.classList.toggle("parted", parted(state, pane))
  }
  for (const name of TOOLS) state.buttons[name].setAttribute("aria-pressed", String(state.tool === name))
  for (const name of ["loupe", "outlines", "linked"]) state.buttons[name].setAttribute("aria-pressed", String(state[name]))
  state.buttons.invert.setAttribute("aria-pressed", String(state.active.look.inverted))
  state.buttons.full.setAttribute("aria-pressed", String(Boolean(root.matches(":fullscreen"))))
  root.dataset.tool = state.tool
  root.dataset.held = String(Boolean(state.held))
  root.dataset.ready = String(!wanted.length)
  root.dataset.zoom = state.active.scale.toFixed(4)
  root.dataset.window = `${state.active.look.window.centre} ${state.active.look.window.width}`
  readout(state)
}

function drawPane(state, pane) {
  const [width, height] = boxOf(pane)
  const dots = devicePixelRatio
  const [w, h] = [Math.round(width * dots), Math.round(height * dots)]
  if (pane.canvas.width !== w || pane.canvas.height !== h) Object.assign(pane.canvas, { width: w, height: h })
  const context = pane.canvas.getContext("2d")
  context.setTransform(1, 0, 0, 1, 0, 0)
  context.clearRect(0, 0, w, h)
  const matrix = times([dots, 0, 0, dots, 0, 0], pane.matrix)
  const split = parted(state, pane) ? (state.held ? 1 : state.split) * w : 0
  const wanted = drawPictures(context, state, pane, matrix, [0, 0, w, h], split, "view", dots)
  drawLines(context, state, pane, matrix, dots)
  const at = state.point?.pane === pane ? apply(matrix, state.point.at) : null
  if (at && state.loupe) {
    const radius = Math.min(130 * dots, 0.3 * Math.min(w, h))
    const close = Math.max(dots, 2 * pane.scale * dots) / (pane.scale * dots)
    const enlarged = times([close, 0, 0, close, at[0] * (1 - close), at[1] * (1 - close)], matrix)
    const part = [at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius].map(Math.round)
    context.save()
    context.setTransform(1, 0, 0, 1, 0, 0)
    context.beginPath()
    context.arc(...at, radius, 0, 7)
    context.fillStyle = "#000"
    context.fill()
    context.clip()
    wanted.push(...drawPictures(context, state, pane, enlarged, part, split, "loupe", dots))
    context.restore()
    context.setTransform(1, 0, 0, 1, 0, 0)
    for (const [colour, thick] of [["#000", 4], ["#fff", 2]]) {
      Object.assign(context, { strokeStyle: colour, lineWidth: thick * dots })
      context.beginPath()
      context.arc(...at, radius, 0, 7)
      context.stroke()
    }
  } else if (at && state.tool === "measure" && state.keyed) cross(context, at, dots)
  return wanted
}

// The pictures of a pane within `part` of the canvas, with what lies over them; returns the tiles that are missing.
function drawPictures(context, state, pane, matrix, part, split, slot, dots) {
  const parts = pane.pictures.length > 1 ? [[part[0], part[1], Math.min(split, part[2]), part[3]], [Math.max(split, part[0]), part[1], part[2], part[3]]] : [part]
  const wanted = pane.pictures.flatMap((picture, index) => {
    const [left, , right] = parts[index]
    if (left >= right) return []
    const about = { matrix: times(matrix, picture.matrix), part: parts[index], table: tableOf(state, pane.look), store: state.store }
    return paintPicture(context, picture, { ...about, planes: pane.planes, slot: `${slot}${index}` })
  })
  if (pane.over && !state.held) {
    const left = Math.max(split, part[0])
    context.save()
    context.setTransform(1, 0, 0, 1, 0, 0)
    context.beginPath()
    context.rect(left, part[1], Math.max(0, part[2] - left), part[3] - part[1])
    context.clip()
    state.drawOver(context, pane, matrix, dots)
    context.restore()
  }
  if (!state.outlines || state.held) return wanted
  pane.pictures.forEach((picture, index) => {
    const [left, top, right, bottom] = parts[index]
    if (left >= right) return
    context.save()
    context.setTransform(1, 0, 0, 1, 0, 0)
    context.beginPath()
    context.rect(left, top, right - left, bottom - top)
    context.clip()
    for (const points of picture.lesions) line(context, points.map((point) => apply(times(matrix, picture.matrix), point)), dots, true)
    context.restore()
  })
  return wanted
}

// A white line on a dark rim, so that it is seen on white tissue, too.
function line(context, points, dots, closed) {
  context.setTransform(1, 0, 0, 1, 0, 0)
  context.lineJoin = context.lineCap = "round"
  for (const [colour, thick] of [["#000c", 4], ["#fff", 2]]) {
    Object.assign(context, { strokeStyle: colour, lineWidth: thick * dots })
    context.beginPath()
    points.forEach((point, index) => (index ? context.lineTo(...point) : context.moveTo(...point)))
    if (closed) context.closePath()
    context.stroke()
  }
}

function cross(context, [x, y], dots) {
  const arm = 9 * dots
  for (const ends of [[[x - arm, y], [x + arm, y]], [[x, y - arm], [x, y + arm]]]) line(context, ends, dots, false)
}

function drawLines(context, state, pane, matrix, dots) {
  const drawn = state.begun?.pane === pane ? [...pane.lines, state.begun] : pane.lines
  for (const { from, to } of drawn) {
    const ends = [from, to].map((point) => apply(matrix, point))
    line(context, ends, dots, false)
    for (const [x, y] of ends) {
      context.beginPath()
      context.arc(x, y, 3.5 * dots, 0, 7)
      context.fillStyle = "#fff"
      context.fill()
    }
    const words = distance(from, to, pane.spacing)
    context.font = `600 ${14 * dots}px sans-serif`
    const wide = context.measureText(words).width
    const [x, y] = [Math.max(ends[0][0], ends[1][0]) + 8 * dots, (ends[0][1] + ends[1][1]) / 2]
    const left = Math.min(x, pane.canvas.width - wide - 14 * dots)
    context.fillStyle = "#000c"
    context.fillRect(left, y - 11 * dots, wide + 10 * dots, 22 * dots)
    context.fillStyle = "#fff"
    context.textBaseline = "middle"
    context.fillText(words, left + 5 * dots, y)
  }
}

// Place and grey level under the pointer, and the window, in the corner.
function readout(state) {
  const { window } = state.active.look
  const words = [`window ${(100 * (window.centre - window.width / 2)).toFixed(0)} to ${(100 * (window.centre + window.width / 2)).toFixed(0)} %`]
  if (window.centre === WHOLE.centre && window.width === WHOLE.width) words.pop()
  if (state.point) {
    const { pane, at } = state.point
    const [left] = apply(pane.matrix, at)
    const right = !state.held && left >= state.split * boxOf(pane)[0]
    const picture = pane.pictures[right ? pane.pictures.length - 1 : 0]
    const own = picture && apply(inverse(picture.matrix), at)
    const grey = picture && greyAt(state.store, picture, own)
    if (grey) words.unshift(`x ${Math.floor(own[0])} y ${Math.floor(own[1])}`, `${grey.exact ? "" : "≈ "}${grey.value.toFixed(3)}`)
  }
  state.status.textContent = words.join(" · ")
  state.status.hidden = !words.length
}

// ---------------------------------------------------------------- changes

// Change how the active pane looks: all of them while they are linked.
function change(state, pane, part) {
  state.active = pane
  for (const each of state.linked ? state.panes : [pane]) each.look = { ...each.look, ...part }
  state.draw()
}

function zoomTo(state, pane, zoom, about = boxOf(pane).map((length) => length / 2)) {
  place(state)
  const next = Math.min(Math.max(zoom, 1), Math.max(1, CLOSEST / pane.fit))
  const grown = next / pane.look.zoom
  const shown = pane.shown.map((length) => length * grown)
  const at = pane.at.map((start, axis) => about[axis] - (about[axis] - start) * grown)
  change(state, pane, { zoom: next, ...anchored(pane, shown, at) })
}

function panBy(state, pane, x, y) {
  place(state)
  change(state, pane, anchored(pane, pane.shown, [pane.at[0] + x, pane.at[1] + y]))
}

// How far a picture of `shown` screen pixels is moved with its corner at `at`, or as near to it as it may be.
function anchored(pane, shown, at) {
  const box = boxOf(pane)
  return moved(box, shown, corner(box, shown, moved(box, shown, at, pane), pane), pane)
}

const reset = (state, pane) => change(state, pane, START)
const windowBy = (state, pane, across, down) => change(state, pane, { window: dragged(pane.look.window, across, down) })

function act(root, state, name) {
  const pane = state.active
  const { lie, inverted } = pane.look
  const does = {
    loupe: () => {
      state.loupe = !state.loupe
      if (state.loupe && state.point?.pane !== pane) state.point = { pane, at: pane.spot ?? pane.size.map((length) => length / 2) }
    },
    outlines: () => (state.outlines = !state.outlines),
    linked: () => {
      state.linked = !state.linked
      if (state.linked) change(state, pane, pane.look)
    },
    invert: () => change(state, pane, { inverted: !inverted }),
    rotate: () => change(state, pane, { lie: turned(lie), x: 0, y: 0 }),
    horizontal: () => change(state, pane, { lie: flipped(lie, "horizontal") }),
    vertical: () => change(state, pane, { lie: flipped(lie, "vertical") }),
    fit: () => change(state, pane, { zoom: 1, x: 0, y: 0 }),
    actual: () => zoomTo(state, pane, 1 / pane.fit, state.point?.pane === pane ? apply(pane.matrix, state.point.at) : undefined),
    reset: () => reset(state, pane),
    full: () => fullScreen(root),
  }
  if (TOOLS.includes(name)) state.tool = state.tool === name ? "pan" : name
  does[name]?.()
  state.draw()
}

// ---------------------------------------------------------------- mouse and keys

function handle(state, pane) {
  const { box } = pane
  const here = (event) => {
    const { left, top } = box.getBoundingClientRect()
    return [event.clientX - left, event.clientY - top]
  }
  const pointAt = (event) => apply(inverse(pane.matrix), here(event))
  const inside = ([x, y]) => x >= 0 && y >= 0 && x < pane.size[0] && y < pane.size[1]
  const hover = (event) => {
    const at = pointAt(event)
    if (event.pointerType === "touch" || !pane.pictures.length) return
    state.keyed = false
    if (inside(at)) state.point = { pane, at }
    else if (!state.loupe) state.point = null
    state.draw()
  }
  box.onpointermove = hover
  box.onpointerleave = () => {
    if (!state.loupe && !state.keyed) state.point = null
    state.draw()
  }
  box.oncontextmenu = (event) => event.preventDefault()
  box.onwheel = (event) => {
    event.preventDefault()
    zoomTo(state, pane, pane.look.zoom * Math.exp(-event.deltaY * 0.0015), here(event))
  }
  box.ondblclick = (event) => event.target === pane.bar || reset(state, pane)
  box.onpointerdown = (event) => {
    if (!pane.pictures.length) return
    state.active = pane
    const usual = parted(state, pane) && state.tool === "pan" && pane.look.zoom === 1 ? "bar" : state.tool
    const tool = event.target === pane.bar ? "bar" : { 0: usual, 1: "pan", 2: "window" }[event.button]
    if (!tool) return
    if (event.button !== 0) event.preventDefault()
    box.focus({ preventScroll: true })
    box.setPointerCapture(event.pointerId)
    let [x, y] = here(event)
    if (tool === "measure") state.begun = { pane, from: pointAt(event), to: pointAt(event) }
    const move = (moving) => {
      const [nextX, nextY] = here(moving)
      const [width, height] = boxOf(pane)
      if (tool === "bar") state.split = Math.min(1, Math.max(0, nextX / width))
      else if (tool === "pan") panBy(state, pane, nextX - x, nextY - y)
      else if (tool === "window") windowBy(state, pane, (nextX - x) / width, (nextY - y) / height)
      else state.begun = { ...state.begun, to: pointAt(moving) }
      if (tool === "window") state.dragged = true
      ;[x, y] = [nextX, nextY]
      hover(moving)
    }
    const end = () => {
      box.onpointermove = hover
      box.onpointerup = box.onpointercancel = null
      const { from, to } = state.begun ?? {}
      if (from && Math.hypot(to[0] - from[0], to[1] - from[1]) * pane.scale > 4) pane.lines.push({ from, to })
      state.begun = null
      state.draw()
    }
    box.onpointermove = move
    box.onpointerup = box.onpointercancel = end
    if (tool === "bar") move(event)
    state.draw()
  }
  if (pane.bar)
    pane.bar.onkeydown = (event) => {
      const step = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key]
      if (!step) return
      event.preventDefault()
      event.stopPropagation()
      state.split = Math.min(1, Math.max(0, state.split + step))
      state.draw()
    }
}

// Move the point by arrow keys: a few screen pixels, in the direction that is seen.
function movePoint(state, pane, [x, y]) {
  const at = state.point?.pane === pane ? state.point.at : (pane.spot ?? pane.size.map((length) => length / 2))
  const seen = apply(pane.matrix, at)
  const next = apply(inverse(pane.matrix), [seen[0] + 6 * x, seen[1] + 6 * y])
  state.point = { pane, at: next.map((value, axis) => Math.min(pane.size[axis] - 0.01, Math.max(0, value))) }
  state.keyed = true
  if (state.begun) state.begun = { ...state.begun, to: state.point.at }
  state.draw()
}

function setPoint(state, pane) {
  if (state.point?.pane !== pane) movePoint(state, pane, [0, 0])
  if (state.begun) {
    pane.lines.push({ from: state.begun.from, to: state.begun.to })
    state.begun = null
  } else state.begun = { pane, from: state.point.at, to: state.point.at }
  state.draw()
}

function pressed(root, state, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return
  const pane = state.active
  const onButton = Boolean(event.target.closest?.("button"))
  const [arrow, zoom] = [ARROWS[event.key], { "+": 1.25, "=": 1.25, "-": 0.8 }[event.key]]
  const name = BY_KEY[event.key.toLowerCase()]
  if (zoom) zoomTo(state, pane, pane.look.zoom * zoom)
  else if (arrow && (event.shiftKey || state.tool === "measure")) movePoint(state, pane, arrow)
  else if (arrow && state.tool === "window") windowBy(state, pane, 0.05 * arrow[0], 0.05 * arrow[1])
  else if (arrow) panBy(state, pane, -60 * arrow[0], -60 * arrow[1])
  else if (event.key === "Enter" && state.tool === "measure" && !onButton) setPoint(state, pane)
  else if (event.key === " " && !onButton) state.held = true
  else if (event.key === "Delete" || event.key === "Backspace") (state.begun ? (state.begun = null) : pane.lines.pop())
  else if (event.key === "Escape" && state.begun) state.begun = null
  else if (name && !event.repeat) {
    if (name === "window") Object.assign(state, { before: state.tool, dragged: false })
    act(root, state, name)
  } else if (!name) return
  event.preventDefault()
  event.stopPropagation()
  state.draw()
}

function released(state, event) {
  if (event.key === " ") state.held = false
  // held during a drag: the tool for that drag alone
  else if (event.key.toLowerCase() === "w" && state.dragged) Object.assign(state, { tool: state.before === "window" ? "pan" : state.before, dragged: false })
  else return
  state.draw()
}
