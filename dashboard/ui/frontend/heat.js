// Images in the viewer (viewing.js) with a map in colour over each. Opacity, colours, outline and swipe change here, without the
// server, which gets them ("look") when the slider comes to rest. Panels of one image move together.
export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".heat")
  const [header, blobs] = unpack(data)
  const state = (root._heat ??= { id: "", maps: [], look: null })
  const find = (what) => root.querySelector(what)
  const [opacity, output, colours, outline, swiping] = [
    "input[type=range]",
    "output",
    "select",
    "input[name=outline]",
    "input[name=swipe]",
  ].map(find)
  if (!state.dirty) state.look = header.look

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
    for (const map of state.maps) if (map) paint(map.canvas, map.levels, map.width, map.height)
    const ramp = Uint8Array.from({ length: 256 }, (_, level) => level)
    paint(find(".scale canvas"), ramp, 256, 1)
    state.viewing?.draw()
  }
  // the map of a pane and its outlines, white on a dark rim
  const drawOver = (context, pane, matrix, dots) => {
    const map = state.maps[pane.index]
    if (!map) return
    const there = times(matrix, header.panels[pane.index].matrix)
    context.setTransform(...there)
    Object.assign(context, { globalAlpha: state.look.opacity, imageSmoothingEnabled: true })
    context.drawImage(map.canvas, 0, 0)
    context.globalAlpha = 1
    if (!state.look.outline) return
    context.setTransform(1, 0, 0, 1, 0, 0)
    context.lineJoin = context.lineCap = "round"
    for (const [sign, drawn] of map.outlines) {
      const path = new Path2D()
      path.addPath(drawn, new DOMMatrix(there))
      const colour = colourOf(sign < 0 ? 0 : header.signed ? 255 : 210)
      for (const [strokeStyle, thick] of [["#000c", 4], [colour, 2]]) {
        Object.assign(context, { strokeStyle, lineWidth: thick * dots })
        context.stroke(path)
      }
    }
  }
  const show = () => {
    const { look } = state
    opacity.style.setProperty("--filled", look.opacity * 100 + "%")
    output.textContent = Math.round(look.opacity * 100) + " %"
    root.dataset.look = `${look.opacity} ${look.colormap}`
    if (state.viewing && state.viewing.swiping !== look.swipe) Object.assign(state.viewing, { swiping: look.swipe, split: 0.5 })
    state.viewing?.draw()
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

  // ---------------------------------------------------------------- pictures
  const read = async ({ map }) => {
    if (map < 0) return null
    const image = await createImageBitmap(blobs[map])
    const { width, height } = image
    const reader = new OffscreenCanvas(width, height).getContext("2d")
    reader.drawImage(image, 0, 0)
    const levels = reader.getImageData(0, 0, width, height).data.filter((_, index) => index % 4 === 0)
    const limit = (sign) => (header.signed ? 128 + sign * 127 * header.half : 255 * header.half)
    const signs = header.signed ? [1, -1] : [1]
    const outlines = signs.map((sign) => [sign, new Path2D(contour(levels, width, height, limit(sign), sign))])
    return { canvas: new OffscreenCanvas(1, 1), levels, width, height, outlines }
  }
  const build = async () => {
    const maps = await Promise.all(header.panels.map(read))
    if (state.id !== header.id) return // other panels were asked for meanwhile
    state.maps = maps
    const panes = header.panels.map(({ title, detail, note, map, pane }) => ({
      ...pane,
      note,
      over: map >= 0 ? "heatmap" : "",
      about: [title, detail, note].filter(Boolean).join(". "),
    }))
    const about = { panes, subject: header.subject, height: header.height, linked: header.linked }
    state.viewing = viewing(find(".viewer"), about, { drawOver, onLost: () => setTriggerValue("lost", String(Date.now())) })
    const words = (kind, text) => element("div", { className: kind, textContent: text, title: text })
    const captions = header.panels.map(({ title, detail }) =>
      element("div", {}, words("caption", title), detail ? words("detail", detail) : null),
    )
    find(".captions").style.setProperty("--columns", captions.length)
    find(".captions").replaceChildren(...captions)
    repaint()
    show()
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
  const hold = (on) => {
    if (!state.viewing) return
    state.viewing.held = on
    state.viewing.draw()
  }
  const button = find(".hold")
  button.onpointerdown = () => hold(true)
  button.onpointerup = button.onpointerleave = button.onpointercancel = button.onblur = button.onkeyup = () => hold(false)
  button.onkeydown = (event) => [" ", "Enter"].includes(event.key) && hold(true)
  show()
  if (state.viewing) state.viewing.drawOver = drawOver
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
