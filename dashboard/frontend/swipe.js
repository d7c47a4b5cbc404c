// Before/after on black: drag the bar, wheel to zoom, drag to pan, double click to reset, arrow keys on the bar.
// View and bar stay where they are when new images come in. `onSpot(share, kind)` hears where in the picture (shares of
// its width and height) the pointer hovers ("hover"), clicks ("click") or that it has left ("leave"); `onDraw(state)`
// hears of each change of the view. Returns the state, with functions to draw and to convert between places.
function swipe(root, { onSpot, onDraw } = {}) {
  const state = (root._state ??= { split: 0.5, zoom: 1, x: 0, y: 0, serial: 0, width: 0, height: 0 })
  const bar = root.querySelector(".bar")
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value))
  state.draw = () => {
    root.style.setProperty("--split", state.split * 100 + "%")
    root.style.setProperty("--view", `translate(${state.x}px, ${state.y}px) scale(${state.zoom})`)
    bar.setAttribute("aria-valuenow", Math.round(state.split * 100))
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
    zoom = clamp(zoom, 1, 16)
    state.x = px - ((px - state.x) * zoom) / state.zoom
    state.y = py - ((py - state.y) * zoom) / state.zoom
    state.zoom = zoom
    keepInside()
    state.draw()
  }
  state.reset = () => {
    Object.assign(state, { split: 0.5, zoom: 1, x: 0, y: 0 })
    state.draw()
  }
  root.onwheel = (event) => {
    event.preventDefault()
    const box = root.getBoundingClientRect()
    state.zoomTo(state.zoom * Math.exp(-event.deltaY * 0.0015), event.clientX - box.left, event.clientY - box.top)
  }
  root.onpointerdown = (event) => {
    const grabbed = event.target.closest(".bar")
    const moves = grabbed || state.zoom === 1 ? "bar" : "picture"
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
  root.ondblclick = state.reset
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
