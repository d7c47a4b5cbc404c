// Before/after on black: drag the bar, wheel to zoom, drag to pan, double click to reset, arrow keys on the bar.
// View and bar stay where they are when new images come in; an image is swapped only once it is decoded.
export default function (component) {
  const { data, parentElement } = component
  const root = parentElement.querySelector(".compare")
  const state = (root._state ??= { split: 0.5, zoom: 1, x: 0, y: 0, urls: {}, serial: 0 })
  const [header, blobs] = unpack(data)
  root.style.height = header.height + "px"
  root.classList.toggle("pixelated", Boolean(header.pixelated))

  const bar = root.querySelector(".bar")
  const draw = () => {
    root.style.setProperty("--split", state.split * 100 + "%")
    root.style.setProperty("--view", `translate(${state.x}px, ${state.y}px) scale(${state.zoom})`)
    bar.setAttribute("aria-valuenow", Math.round(state.split * 100))
    root.classList.toggle("zoomed", state.zoom > 1)
  }
  root.querySelector(".tag.left").textContent = header.labels[0]
  root.querySelector(".tag.right").textContent = header.labels[1]

  const serial = ++state.serial
  const show = async () => {
    const fresh = await Promise.all(
      blobs.map(async (blob) => {
        const url = URL.createObjectURL(blob)
        const probe = new Image()
        probe.src = url
        await probe.decode().catch(() => undefined)
        return url
      }),
    )
    if (serial !== state.serial) return fresh.forEach((url) => URL.revokeObjectURL(url))
    ;[".before", ".after"].forEach((side, index) => {
      const old = state.urls[side]
      state.urls[side] = fresh[index]
      root.querySelector(side + " img").src = fresh[index]
      if (old) setTimeout(() => URL.revokeObjectURL(old), 1000)
    })
  }
  show()

  const clamp = (value, low, high) => Math.min(high, Math.max(low, value))
  const keepInside = () => {
    const { width, height } = root.getBoundingClientRect()
    state.x = clamp(state.x, width * (1 - state.zoom), 0)
    state.y = clamp(state.y, height * (1 - state.zoom), 0)
  }
  root.onwheel = (event) => {
    event.preventDefault()
    const box = root.getBoundingClientRect()
    const zoom = clamp(state.zoom * Math.exp(-event.deltaY * 0.0015), 1, 16)
    const [px, py] = [event.clientX - box.left, event.clientY - box.top]
    state.x = px - ((px - state.x) * zoom) / state.zoom
    state.y = py - ((py - state.y) * zoom) / state.zoom
    state.zoom = zoom
    keepInside()
    draw()
  }
  root.onpointerdown = (event) => {
    const onBar = event.target.closest(".bar") || state.zoom === 1
    const start = { x: event.clientX - state.x, y: event.clientY - state.y }
    const move = (moved) => {
      const box = root.getBoundingClientRect()
      if (onBar) state.split = clamp((moved.clientX - box.left) / box.width, 0, 1)
      else {
        state.x = moved.clientX - start.x
        state.y = moved.clientY - start.y
        keepInside()
      }
      draw()
    }
    root.setPointerCapture(event.pointerId)
    root.onpointermove = move
    root.onpointerup = root.onpointercancel = () => (root.onpointermove = null)
    move(event)
  }
  root.ondblclick = () => {
    Object.assign(state, { split: 0.5, zoom: 1, x: 0, y: 0 })
    draw()
  }
  bar.onkeydown = (event) => {
    const step = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key]
    if (!step) return
    event.preventDefault()
    state.split = clamp(state.split + step, 0, 1)
    draw()
  }
  draw()
}

// bytes = length of the header (uint32, little endian), header (JSON with `sizes` and `types`), blobs one after another
function unpack(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const length = view.getUint32(0, true)
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)))
  let offset = 4 + length
  const blobs = header.sizes.map((size, index) => {
    const blob = new Blob([bytes.slice(offset, offset + size)], { type: header.types[index] })
    offset += size
    return blob
  })
  return [header, blobs]
}
