// One Plotly chart that is updated in place: no flicker while a training runs. Streamlit's own Plotly element builds a
// changed chart again. What the person zoomed to stays while numbers change (the charts have a constant
// `uirevision`); with `zoom`, also when the page puts a new element in the place of this one.
const CONFIG = { displayModeBar: false, displaylogo: false, showSendToCloud: false, plotlyServerURL: "", responsive: false }
const ZOOMS = (window._mammolabZooms ??= new Map())

export default function (component) {
  const { data, parentElement } = component
  const root = parentElement.querySelector(".plot")
  root.setAttribute("role", "img")
  root.setAttribute("aria-label", data.alt)
  root.style.height = data.height + "px"
  root._wanted = data
  saveMenu(root, parentElement.querySelector(".save-chart"))
  if (data.follow) on(root, "threshold", ({ dial, index }) => dial === root._wanted.follow?.dial && follow(root, index))
  library(data.script).then(
    (Plotly) => root._wanted === data && draw(Plotly, root, data),
    () => (root.textContent = "The chart library could not be loaded. Reload the page."),
  )
}

function storeZoom(root, change) {
  const axes = new Set(Object.keys(change).map((name) => /^([xy]axis\d*)\.range/.exec(name)?.[1]).filter(Boolean))
  if (!root._zoom || root._resetting || !axes.size) return
  const ranges = { ...ZOOMS.get(root._zoom) }
  for (const axis of axes) ranges[axis] = [...root._fullLayout[axis].range]
  ZOOMS.set(root._zoom, ranges)
}

function resetZoom(Plotly, root) {
  if (!root._zoom) return
  ZOOMS.delete(root._zoom)
  root._resetting = true // Plotly's own reset, to the ranges of the first drawing, is still to come
  setTimeout(() => {
    root._resetting = false
    draw(Plotly, root, root._wanted)
  }, 400)
}

function draw(Plotly, root, data) {
  const { data: traces, layout } = JSON.parse(data.figure)
  themed(layout, getComputedStyle(root), data.height)
  root._zoom = data.zoom
  if (data.zoom) {
    const zoomed = ZOOMS.get(data.zoom) ?? {}
    for (const axis of Object.keys(layout).filter((name) => /^[xy]axis\d*$/.test(name))) {
      layout[axis].uirevision = root._draws = (root._draws ?? 0) + 1 // the range is ours to say, not Plotly's to keep
      if (zoomed[axis]) layout[axis] = { ...layout[axis], range: zoomed[axis], autorange: false }
    }
  }
  root._shown = { traces, layout }
  if (data.follow && bus.dials?.[data.follow.dial] !== undefined) place(root, bus.dials[data.follow.dial])
  Plotly.react(root, traces, layout, CONFIG)
  if (!root._watched) {
    root.on("plotly_relayout", (change) => storeZoom(root, change))
    root.on("plotly_doubleclick", () => resetZoom(Plotly, root))
    root._watched = new ResizeObserver(() => root.clientWidth && root._fullLayout && Plotly.Plots.resize(root))
    root._watched.observe(root)
  }
}

// A chart that follows a slider holds what changes with it for each of its steps: attributes of traces, places in the layout.
function place(root, index) {
  const { traces, layout } = root._shown
  for (const [number, attributes] of Object.entries(root._wanted.follow.traces ?? {}))
    for (const [name, values] of Object.entries(attributes)) traces[number][name] = values[index]
  for (const [path, values] of Object.entries(root._wanted.follow.layout ?? {})) {
    const names = path.split(".")
    const last = names.pop()
    names.reduce((part, name) => part[name], layout)[last] = values[index]
  }
}

function follow(root, index) {
  root._at = index
  clearTimeout(root._later)
  const { top, bottom } = root.getBoundingClientRect()
  if (bottom < 0 || top > window.innerHeight) root._later = setTimeout(() => move(root), 200) // nobody sees it: others first
  else root._frame ??= requestAnimationFrame(() => move(root))
}

function move(root) {
  root._frame = null
  if (!root._shown || !root._wanted.follow) return
  place(root, root._at)
  window.Plotly.react(root, root._shown.traces, root._shown.layout, CONFIG)
}

// ---------------------------------------------------------------- the menu that saves the chart

const FORMATS = { png: "PNG picture, twice the size", svg: "SVG drawing", csv: "CSV of what is drawn" }

function saveMenu(root, box) {
  const button = box.querySelector("button")
  button.setAttribute("aria-label", `Save the chart: ${root._wanted.title}`)
  if (box._made) return
  box._made = true
  const menu = box.querySelector("[role=menu]")
  const items = Object.entries(FORMATS).map(([format, words]) => {
    const item = Object.assign(document.createElement("button"), { textContent: words, tabIndex: -1, type: "button" })
    item.setAttribute("role", "menuitem")
    item.onclick = () => {
      open(false)
      save(root, box, format)
    }
    return item
  })
  menu.replaceChildren(...items)
  const open = (wanted, focus = button) => {
    menu.hidden = !wanted
    button.setAttribute("aria-expanded", String(wanted))
    focus?.focus({ preventScroll: true })
  }
  button.onclick = () => open(menu.hidden, menu.hidden ? items[0] : button)
  box.onkeydown = (event) => {
    const at = items.indexOf(box.getRootNode().activeElement)
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key]
    if (event.key === "Escape" && !menu.hidden) open(false)
    else if (to !== undefined && (at >= 0 || event.key === "ArrowDown")) open(true, items.at(to % items.length))
    else return
    event.preventDefault()
    event.stopPropagation() // the page's own keys are not meant
  }
  box.onfocusout = (event) => box.contains(event.relatedTarget) || menu.hidden || open(false, null)
}

async function save(root, box, format) {
  const status = box.querySelector("[role=status]")
  try {
    const background = getComputedStyle(root).getPropertyValue("--st-background-color").trim()
    download(await fileOf(window.Plotly, root, background, format), `${root._wanted.file}.${format}`)
    status.textContent = `Saved as ${root._wanted.file}.${format}`
  } catch (error) {
    status.textContent = `The chart could not be saved: ${error.message ?? error}`
  }
}
