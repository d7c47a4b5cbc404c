// Before/after on black: drag the bar, wheel to zoom, drag to pan, double click to reset, keys (see `state.key`); while the
// space bar is held only "before" is seen. View and bar stay where they are when new images come in.
// `onSpot(share, kind)` is called where in the picture (shares of its width and height) the pointer hovers ("hover"), clicks
// ("click") or has left ("leave"); `onDraw(state)` at each change of the view; `home` is where the bar starts.
// Returns the state, with functions to draw and to convert between places. Where `state.width` and `height` say how many
// pixels the picture has, the zoom ends at four screen pixels for each of them.
const MOST = 4
function swipe(root, { onSpot, onDraw, home = 0.5 } = {}) {
  const state = (root._state ??= { split: home, zoom: 1, x: 0, y: 0, serial: 0, width: 0, height: 0, home })
  const bar = root.querySelector(".bar")
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value))
  state.draw = () => {
    root.style.setProperty("--split", state.split * 100 + "%")
    root.style.setProperty("--view", `translate(${state.x}px, ${state.y}px) scale(${state.zoom})`)
    bar?.setAttribute("aria-valuenow", Math.round(state.split * 100))
    root.classList.toggle("zoomed", state.zoom > 1)
    onDraw?.(state)
  }
  // where the picture lies in the box: object-fit contain, then the view
  const fitted = () => {
    const { width, height } = root.getBoundingClientRect()
    const scale = Math.min(width / (state.width || 1), height / (state.height || 1))
    const [w, h] = [state.width * scale, state.height * scale]
    return { left: (width - w) / 2, top: (height - h) / 2, width: w, height: h, scale }
  }
  state.place = (u, v) => {
    const at = fitted()
    return {
      x: (at.left + u * at.width) * state.zoom + state.x,
      y: (at.top + v * at.height) * state.zoom + state.y,
      scale: at.scale * state.zoom,
    }
  }
  const share = (event) => {
    if (!state.width) return null
    const box = root.getBoundingClientRect()
    const at = fitted()
    const u = ((event.clientX - box.left - state.x) / state.zoom - at.left) / at.width
    const v = ((event.clientY - box.top - state.y) / state.zoom - at.top) / at.height
    return u >= 0 && u < 1 && v >= 0 && v < 1 ? [u, v] : null
  }
  const keepInside = () => {
    const { width, height } = root.getBoundingClientRect()
    state.x = clamp(state.x, width * (1 - state.zoom), 0)
    state.y = clamp(state.y, height * (1 - state.zoom), 0)
  }
  state.zoomTo = (zoom, px, py) => {
    zoom = clamp(zoom, 1, state.width ? Math.max(1, MOST / fitted().scale) : 16)
    state.x = px - ((px - state.x) * zoom) / state.zoom
    state.y = py - ((py - state.y) * zoom) / state.zoom
    state.zoom = zoom
    keepInside()
    state.draw()
  }
  state.pan = (dx, dy) => {
    state.x += dx
    state.y += dy
    keepInside()
    state.draw()
  }
  state.reset = () => {
    Object.assign(state, { split: state.home, zoom: 1, x: 0, y: 0 })
    state.draw()
  }
  state.hold = (on) => root.classList.toggle("held", on)
  // + and - zoom about the middle (or `about`), 1 shows one screen pixel for each of the picture's, 0 resets, arrows pan
  state.key = (event, about) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const { width, height } = root.getBoundingClientRect()
    const [px, py] = about ?? [width / 2, height / 2]
    const factor = { "+": 1.25, "=": 1.25, "-": 0.8 }[event.key]
    const move = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key]
    if (factor) state.zoomTo(state.zoom * factor, px, py)
    else if (event.key === "1" && state.width) state.zoomTo(1 / fitted().scale, px, py)
    else if (event.key === "0") state.reset()
    else if (event.key === " " && !event.target.closest("button")) state.hold(true)
    else if (move && state.zoom > 1) state.pan(...move)
    else return
    event.preventDefault()
  }
  root.onkeydown = (event) => state.key(event)
  root.onkeyup = (event) => event.key === " " && state.hold(false)
  root.onblur = () => state.hold(false)
  root.onwheel = (event) => {
    event.preventDefault()
    const box = root.getBoundingClientRect()
    state.zoomTo(state.zoom * Math.exp(-event.deltaY * 0.0015), event.clientX - box.left, event.clientY - box.top)
  }
  root.onpointerdown = (event) => {
    if (event.target.closest(".help")) return
    const grabbed = event.target.closest(".bar")
    const moves = grabbed || (bar && !bar.hidden && state.zoom === 1) ? "bar" : "picture"
    const start = { x: event.clientX - state.x, y: event.clientY - state.y, clientX: event.clientX, clientY: event.clientY }
    let dragging = Boolean(grabbed) || !onSpot
    const move = (moved) => {
      dragging ||= Math.hypot(moved.clientX - start.clientX, moved.clientY - start.clientY) > 4
      if (!dragging) return
      const box = root.getBoundingClientRect()
      if (moves === "bar") state.split = clamp((moved.clientX - box.left) / box.width, 0, 1)
      else {
        state.x = moved.clientX - start.x
        state.y = moved.clientY - start.y
        keepInside()
      }
      state.draw()
    }
    root.setPointerCapture(event.pointerId)
    root.onpointermove = move
    root.onpointerup = (up) => {
      root.onpointermove = hover
      if (!dragging && onSpot && share(up)) onSpot(share(up), "click")
    }
    root.onpointercancel = () => (root.onpointermove = hover)
    move(event)
  }
  const hover = (event) => {
    const spot = onSpot && event.pointerType === "mouse" ? share(event) : null
    if (spot) onSpot(spot, "hover")
  }
  root.onpointermove = hover
  root.onpointerleave = () => onSpot?.(null, "leave")
  root.ondblclick = (event) => event.target.closest(".help") || state.reset()
  if (bar)
    bar.onkeydown = (event) => {
      const step = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key]
      if (!step) return
      event.preventDefault()
      event.stopPropagation()
      state.split = clamp(state.split + step, 0, 1)
      state.draw()
    }
  return state
}

const KEYS = [
  ["wheel, + −", "zoom"],
  ["drag, arrows", "move when zoomed"],
  ["1", "100 %: each pixel of the image is one of the screen"],
  ["0, double click", "whole picture"],
]
