// One Plotly figure that is updated in place: no flicker while a training runs, and what the person zoomed to is kept
// (the figures carry a constant `uirevision`). Streamlit's own Plotly element builds a changed figure anew.
const CONFIG = { displayModeBar: false, displaylogo: false, showSendToCloud: false, plotlyServerURL: "", responsive: false }

export default function (component) {
  const { data, parentElement } = component
  const root = parentElement.querySelector(".plot")
  root.setAttribute("aria-label", data.alt)
  root.style.height = data.height + "px"
  root._wanted = data
  library(data.script).then(
    (Plotly) => root._wanted === data && draw(Plotly, root, data),
    () => (root.textContent = "The chart library could not be loaded. Reload the page."),
  )
}

function library(address) {
  window._mammolabPlotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script")
    script.src = address
    script.onload = () => resolve(window.Plotly)
    script.onerror = () => {
      window._mammolabPlotly = undefined
      reject(new Error(address))
    }
    document.head.append(script)
  })
  return window._mammolabPlotly
}

function draw(Plotly, root, data) {
  const { data: traces, layout } = JSON.parse(data.figure)
  const style = getComputedStyle(root)
  const text = style.getPropertyValue("--st-text-color").trim()
  const background = style.getPropertyValue("--st-secondary-background-color").trim()
  layout.font = { ...layout.font, family: style.getPropertyValue("--st-font").trim() || undefined }
  if (text) layout.font.color = text
  layout.hoverlabel = { ...layout.hoverlabel, bgcolor: background || undefined, font: { size: 14, color: text || undefined } }
  layout.autosize = true
  layout.height = data.height
  Plotly.react(root, traces, layout, CONFIG)
  if (!root._watched) {
    root._watched = new ResizeObserver(() => root.clientWidth && root._fullLayout && Plotly.Plots.resize(root))
    root._watched.observe(root)
  }
}
