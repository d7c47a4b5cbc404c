// Images on black with a map in colour over each. Opacity and colours change here, without the server, which hears of them
// ("look") when the hand comes to rest. Wheel zooms, drag pans, double click resets; panels of one image move together.
export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".heat")
  const [header, blobs] = unpack(data)
  const state = (root._heat ??= { id: "", panels: [], look: null, view: { zoom: 1, x: 0, y: 0 } })
  const [opacity, output, colours] = ["input", "output", "select"].map((name) => root.querySelector(name))
  root.style.setProperty("--columns", header.columns)
  root.style.setProperty("--height", header.height + "px")
  root.style.setProperty("--ratio", header.ratio)
  if (!state.dirty) state.look = { opacity: header.opacity, colormap: header.colormap }

  const table = () => {
    const text = atob(header.signed ? header.two_colours : header.tables[state.look.colormap])
    return Uint8Array.from(text, (letter) => letter.charCodeAt(0))
  }
  // what a level is drawn with: its colour, the more opaque the stronger it is
  const paint = (canvas, levels, width, height) => {
    const rgb = table()
    const pixels = new ImageData(width, height)
    for (let i = 0; i < levels.length; i++) {
      const level = levels[i]
      pixels.data[4 * i] = rgb[3 * level]
      pixels.data[4 * i + 1] = rgb[3 * level + 1]
      pixels.data[4 * i + 2] = rgb[3 * level + 2]
      pixels.data[4 * i + 3] = header.signed ? Math.min(255, Math.abs(level - 128) * 2) : level
    }
    Object.assign(canvas, { width, height })
    canvas.getContext("2d").putImageData(pixels, 0, 0)
  }
  const repaint = () => {
    for (const panel of state.panels) if (panel.levels) paint(panel.canvas, panel.levels, panel.width, panel.height)
    const ramp = Uint8Array.from({ length: 256 }, (_, level) => level)
    paint(root.querySelector(".scale canvas"), ramp, 256, 1)
  }
  const dim = () => {
    root.style.setProperty("--opacity", state.look.opacity)
    opacity.style.setProperty("--filled", state.look.opacity * 100 + "%")
    output.textContent = Math.round(state.look.opacity * 100) + " %"
    root.dataset.look = `${state.look.opacity} ${state.look.colormap}`
  }
  const settle = () => {
    state.dirty = false
    setTriggerValue("look", state.look)
  }

  // ---------------------------------------------------------------- panels
  const rectangles = (boxes) => {
    const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg")
    for (const [x0, y0, x1, y1] of boxes)
      for (const kind of ["halo", "line"]) {
        const rectangle = document.createElementNS("http://www.w3.org/2000/svg", "rect")
        const place = { x: x0, y: y0, width: x1 - x0, height: y1 - y0, class: kind }
        for (const [name, value] of Object.entries(place)) rectangle.setAttribute(name, value)
        drawing.append(rectangle)
      }
    return drawing
  }
  const text = (kind, words) => {
    const line = document.createElement("div")
    line.className = kind
    line.textContent = line.title = words
    return line
  }
  const load = async (blob) => {
    const image = new Image()
    image.src = URL.createObjectURL(blob)
    await image.decode()
    return image
  }
  const build = async () => {
    const panels = await Promise.all(
      header.panels.map(async (panel) => {
        const figure = document.createElement("figure")
        figure.className = "panel"
        const frame = document.createElement("div")
        frame.className = "frame"
        const layers = document.createElement("div")
        layers.className = "layers"
        const base = await load(blobs[panel.image])
        base.alt = panel.title
        layers.append(base)
        const made = { frame, layers, width: base.naturalWidth, height: base.naturalHeight }
        if (panel.map >= 0) {
          const map = await load(blobs[panel.map])
          made.canvas = document.createElement("canvas")
          const reader = new OffscreenCanvas(made.width, made.height).getContext("2d")
          reader.drawImage(map, 0, 0)
          made.levels = reader.getImageData(0, 0, made.width, made.height).data.filter((_, index) => index % 4 === 0)
          URL.revokeObjectURL(map.src)
          layers.append(made.canvas)
        }
        if (panel.boxes.length) {
          const drawing = rectangles(panel.boxes)
          drawing.setAttribute("viewBox", `0 0 ${made.width} ${made.height}`)
          layers.append(drawing)
        }
        frame.append(layers)
        if (panel.note) frame.append(text("note", panel.note))
        figure.append(frame, text("caption", panel.title))
        if (panel.detail) figure.append(text("detail", panel.detail))
        return { ...made, figure, base }
      }),
    )
    if (state.id !== header.id) return // other panels were asked for meanwhile
    const old = state.panels
    state.panels = panels
    if (!header.linked || state.subject !== header.subject) state.view = { zoom: 1, x: 0, y: 0 }
    state.subject = header.subject
    panels.forEach((panel, index) => steer(panel, header.linked ? null : index))
    repaint()
    draw()
    root.querySelector(".panels").replaceChildren(...panels.map((panel) => panel.figure))
    setTimeout(() => old.forEach((panel) => URL.revokeObjectURL(panel.base.src)), 1000)
  }

  // ---------------------------------------------------------------- zoom
  const draw = () => {
    for (const panel of state.panels) {
      const { zoom, x, y } = panel.view ?? state.view
      panel.layers.style.transform = `translate(${x}px, ${y}px) scale(${zoom})`
      panel.frame.classList.toggle("zoomed", zoom > 1)
    }
  }
  const steer = (panel, alone) => {
    if (alone !== null) panel.view = { zoom: 1, x: 0, y: 0 }
    const { frame } = panel
    const view = () => panel.view ?? state.view
    const inside = () => {
      const now = view()
      const { width, height } = frame.getBoundingClientRect()
      now.x = Math.min(0, Math.max(width * (1 - now.zoom), now.x))
      now.y = Math.min(0, Math.max(height * (1 - now.zoom), now.y))
      draw()
    }
    frame.onwheel = (event) => {
      event.preventDefault()
      const now = view()
      const box = frame.getBoundingClientRect()
      const [px, py] = [event.clientX - box.left, event.clientY - box.top]
      const zoom = Math.min(12, Math.max(1, now.zoom * Math.exp(-event.deltaY * 0.0015)))
      Object.assign(now, { x: px - ((px - now.x) * zoom) / now.zoom, y: py - ((py - now.y) * zoom) / now.zoom, zoom })
      inside()
    }
    frame.onpointerdown = (event) => {
      const now = view()
      const start = { x: event.clientX - now.x, y: event.clientY - now.y }
      frame.setPointerCapture(event.pointerId)
      frame.onpointermove = (moved) => {
        Object.assign(now, { x: moved.clientX - start.x, y: moved.clientY - start.y })
        inside()
      }
      frame.onpointerup = frame.onpointercancel = () => (frame.onpointermove = null)
    }
    frame.tabIndex = 0
    frame.setAttribute("role", "group")
    frame.setAttribute("aria-label", "Picture with heatmap: plus and minus zoom, arrow keys pan, 0 resets")
    frame.onkeydown = (event) => {
      const now = view()
      const { width, height } = frame.getBoundingClientRect()
      const factor = { "+": 1.25, "=": 1.25, "-": 0.8 }[event.key]
      const move = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key]
      if (factor) {
        const zoom = Math.min(12, Math.max(1, now.zoom * factor))
        Object.assign(now, { x: width / 2 - ((width / 2 - now.x) * zoom) / now.zoom, y: height / 2 - ((height / 2 - now.y) * zoom) / now.zoom, zoom })
      } else if (move && now.zoom > 1) Object.assign(now, { x: now.x + move[0], y: now.y + move[1] })
      else if (event.key === "0") Object.assign(now, { zoom: 1, x: 0, y: 0 })
      else return
      event.preventDefault()
      inside()
    }
    frame.ondblclick = () => {
      Object.assign(view(), { zoom: 1, x: 0, y: 0 })
      draw()
    }
  }

  // ---------------------------------------------------------------- controls
  colours.replaceChildren(
    ...Object.keys(header.tables).map((name) => {
      const option = document.createElement("option")
      option.value = option.textContent = name
      return option
    }),
  )
  colours.value = state.look.colormap
  colours.parentElement.hidden = header.signed
  opacity.value = state.look.opacity
  const [low, high, under] = ["low", "high", "under"].map((name) => root.querySelector(`.${name}`))
  ;[low.textContent, high.textContent, under.textContent] = header.scale
  opacity.oninput = () => {
    state.dirty = true
    state.look = { ...state.look, opacity: Number(opacity.value) }
    dim()
  }
  opacity.onchange = settle
  colours.onchange = () => {
    state.look = { ...state.look, colormap: colours.value }
    repaint()
    dim()
    settle()
  }
  dim()
  if (state.id === header.id) return repaint()
  state.id = header.id
  build()
}
