// Images on black with a map in colour over each. Opacity, colours, outline and swipe change here, without the server, which
// gets them ("look") when the slider comes to rest. Zoom, pan and keys: swipe.js; panels of one image move together.
export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".heat")
  const [header, blobs] = unpack(data)
  const state = (root._heat ??= { id: "", panels: [], look: null, view: {} })
  const find = (what) => root.querySelector(what)
  const [opacity, output, colours, outline, swiping] = [
    "input[type=range]",
    "output",
    "select",
    "input[name=outline]",
    "input[name=swipe]",
  ].map(find)
  root.style.setProperty("--columns", header.columns)
  root.style.setProperty("--height", header.height + "px")
  root.style.setProperty("--ratio", header.ratio)
  if (!state.dirty) state.look = header.look
  measureAbove(root)

  const table = () => {
    const text = atob(header.signed ? header.two_colours : header.tables[state.look.colormap])
    return Uint8Array.from(text, (letter) => letter.charCodeAt(0))
  }
  const strength = (level) => (header.signed ? Math.abs(level - 128) / 127 : level / 255)
  // as core.gradcam.overlay: the stronger the more opaque, up to half of the strongest
  const paint = (canvas, levels, width, height) => {
    const rgb = table()
    const pixels = new ImageData(width, height)
    for (let i = 0; i < levels.length; i++) {
      const level = levels[i]
      pixels.data[4 * i] = rgb[3 * level]
      pixels.data[4 * i + 1] = rgb[3 * level + 1]
      pixels.data[4 * i + 2] = rgb[3 * level + 2]
      pixels.data[4 * i + 3] = 255 * Math.min(1, strength(level) / header.half)
    }
    Object.assign(canvas, { width, height })
    canvas.getContext("2d").putImageData(pixels, 0, 0)
  }
  const colourOf = (level) => `rgb(${[...table().slice(3 * level, 3 * level + 3)].join(" ")})`
  const repaint = () => {
    for (const panel of state.panels) {
      if (!panel.levels) continue
      paint(panel.canvas, panel.levels, panel.width, panel.height)
      panel.lines.style.setProperty("--strong", colourOf(header.signed ? 255 : 210))
      panel.lines.style.setProperty("--negative", colourOf(0))
    }
    const ramp = Uint8Array.from({ length: 256 }, (_, level) => level)
    paint(find(".scale canvas"), ramp, 256, 1)
  }
  const show = () => {
    const { look } = state
    root.style.setProperty("--opacity", look.opacity)
    opacity.style.setProperty("--filled", look.opacity * 100 + "%")
    output.textContent = Math.round(look.opacity * 100) + " %"
    root.classList.toggle("plain", !look.outline)
    for (const panel of state.panels) {
      if (!panel.bar || panel.bar.hidden === !look.swipe) continue
      panel.bar.hidden = !look.swipe
      panel.element.classList.toggle("swiping", look.swipe)
      panel.swipe.split = panel.swipe.home = look.swipe ? 0.5 : 0
      panel.swipe.draw()
    }
    root.dataset.look = `${look.opacity} ${look.colormap}`
  }
  const settle = () => {
    state.dirty = false
    setTriggerValue("look", state.look)
  }
  const change = (part, final = true) => {
    state.dirty = true
    state.look = { ...state.look, ...part }
    show()
    if (final) settle()
  }

  // ---------------------------------------------------------------- panels
  const drawing = ({ width, height }) => svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" })
  const outlines = (panel) => {
    const lines = drawing(panel)
    const limit = (sign) => (header.signed ? 128 + sign * 127 * header.half : 255 * header.half)
    for (const sign of header.signed ? [1, -1] : [1]) {
      const d = contour(panel.levels, panel.width, panel.height, limit(sign), sign)
      for (const kind of ["halo", sign > 0 ? "strong" : "negative"]) lines.append(svg("path", { d, class: kind }))
    }
    return lines
  }
  const text = (kind, words) => element("div", { className: kind, textContent: words, title: words })
  const box = (kind, ...children) => element("div", { className: kind }, ...children)
  const load = async (blob) => {
    const image = new Image()
    image.src = URL.createObjectURL(blob)
    await image.decode()
    return image
  }
  const keys = [["space (hold)", "hide the heatmap"], ["Swipe", "a bar between image and heatmap"], ...KEYS]
  const build = async () => {
    const panels = await Promise.all(
      header.panels.map(async (panel) => {
        const base = await load(blobs[panel.image])
        base.alt = panel.map >= 0 ? `${panel.title}: the image below the heatmap` : panel.title
        const made = { base, width: base.naturalWidth, height: base.naturalHeight }
        const frame = (made.frame = box("frame compare", box("side", base)))
        if (panel.map >= 0) {
          const map = await load(blobs[panel.map])
          const words = [panel.title, panel.detail, panel.note].filter(Boolean).join(". ")
          made.canvas = element("canvas", { role: "img", ariaLabel: words })
          const reader = new OffscreenCanvas(made.width, made.height).getContext("2d")
          reader.drawImage(map, 0, 0)
          made.levels = reader.getImageData(0, 0, made.width, made.height).data.filter((_, index) => index % 4 === 0)
          URL.revokeObjectURL(map.src)
          made.lines = outlines(made)
          const about = { role: "slider", tabIndex: 0, ariaLabel: "image and heatmap", ariaValueMin: "0", ariaValueMax: "100" }
          made.bar = element("div", { className: "bar", hidden: true, ...about })
          frame.append(box("side after", made.canvas, made.lines), made.bar)
        }
        if (panel.lesions.length) frame.append(box("side", lesionLines(panel.lesions, made.width, made.height)))
        if (panel.map >= 0) frame.append(text("tag left", "image"), text("tag right", "heatmap"))
        if (panel.note) frame.append(text("note", panel.note))
        frame.tabIndex = 0
        frame.setAttribute("role", "group")
        frame.setAttribute("aria-label", `${panel.title}: plus and minus zoom, arrow keys move, space hides the heatmap, ? lists keys`)
        const detail = panel.detail ? text("detail", panel.detail) : null
        made.element = element("figure", { className: "panel" }, frame, text("caption", panel.title), detail)
        return made
      }),
    )
    if (state.id !== header.id) return // other panels were asked for meanwhile
    const old = state.panels
    state.panels = panels
    if (!header.linked || state.subject !== header.subject) state.view = {}
    state.subject = header.subject
    for (const panel of panels) {
      const onDraw = ({ zoom, x, y }) => {
        panel.frame.style.setProperty("--zoom", zoom)
        state.view = header.linked ? { zoom, x, y } : {}
        for (const other of header.linked ? state.panels : []) {
          const at = other.swipe
          if (!at || (at.zoom === zoom && at.x === x && at.y === y)) continue
          Object.assign(at, state.view)
          at.draw()
        }
      }
      panel.swipe = swipe(panel.frame, { onDraw, home: 0 })
      Object.assign(panel.swipe, { width: panel.width, height: panel.height, most: 12 }, state.view)
      keyHelp(panel.frame, keys)
    }
    repaint()
    show()
    for (const panel of panels) panel.swipe.draw()
    find(".panels").replaceChildren(...panels.map((panel) => panel.element))
    setTimeout(() => old.forEach((panel) => URL.revokeObjectURL(panel.base.src)), 1000)
  }

  // ---------------------------------------------------------------- controls
  colours.replaceChildren(
    ...Object.keys(header.tables).map((name) => element("option", { value: name, textContent: name })),
  )
  colours.value = state.look.colormap
  colours.parentElement.hidden = header.signed
  opacity.value = state.look.opacity
  outline.checked = state.look.outline
  swiping.checked = state.look.swipe
  const [low, high, under] = [".scale .low", ".scale .high", ".scale .under"].map(find)
  ;[low.textContent, high.textContent, under.textContent] = header.scale
  opacity.oninput = () => change({ opacity: Number(opacity.value) }, false)
  opacity.onchange = settle
  colours.onchange = () => {
    change({ colormap: colours.value })
    repaint()
  }
  outline.onchange = () => change({ outline: outline.checked })
  swiping.onchange = () => change({ swipe: swiping.checked })
  const hold = (on) => state.panels.forEach((panel) => panel.swipe?.hold(on))
  const button = find(".hold")
  button.onpointerdown = () => hold(true)
  button.onpointerup = button.onpointerleave = button.onpointercancel = button.onblur = button.onkeyup = () => hold(false)
  button.onkeydown = (event) => [" ", "Enter"].includes(event.key) && hold(true)
  show()
  if (state.id === header.id) return repaint()
  state.id = header.id
  build()
}

// Where levels (row by row) pass `limit`, upwards of it for sign 1, as an SVG path in pixels: marching squares.
function contour(levels, width, height, limit, sign) {
  const at = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? -1 : (levels[y * width + x] - limit) * sign)
  const parts = []
  for (let y = -1; y < height; y++)
    for (let x = -1; x < width; x++) {
      const corners = [at(x, y), at(x + 1, y), at(x + 1, y + 1), at(x, y + 1)]
      const inside = corners.map((value) => value >= 0)
      if (inside.every(Boolean) || !inside.some(Boolean)) continue
      const places = [
        [x, y],
        [x + 1, y],
        [x + 1, y + 1],
        [x, y + 1],
      ]
      const cuts = []
      for (let edge = 0; edge < 4; edge++) {
        const next = (edge + 1) % 4
        if (inside[edge] === inside[next]) continue
        const share = corners[edge] / (corners[edge] - corners[next])
        cuts.push([0, 1].map((axis) => (places[edge][axis] + share * (places[next][axis] - places[edge][axis]) + 0.5).toFixed(2)))
      }
      for (let cut = 0; cut + 1 < cuts.length; cut += 2) parts.push(`M${cuts[cut].join(" ")}L${cuts[cut + 1].join(" ")}`)
    }
  return parts.join("")
}
