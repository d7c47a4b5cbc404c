// All charts of a page's subject in one .zip: each is drawn out of sight, and saved as PNG, SVG and CSV.
export default function (component) {
  const { data, parentElement } = component
  const root = parentElement.querySelector(".charts-zip")
  const button = root.querySelector("button")
  const status = root.querySelector("[role=status]")
  const say = (words) => (status.textContent = words)
  if (!root._busy) say(`${data.charts.length} charts, each as PNG, SVG and CSV`)
  button.onclick = async () => {
    if (root._busy) return
    root._busy = true
    button.setAttribute("aria-disabled", "true")
    try {
      const Plotly = await library(data.script)
      const files = []
      for (const [index, chart] of data.charts.entries()) {
        say(`Drawing ${index + 1} of ${data.charts.length} …`)
        files.push(...(await filesOf(Plotly, root, chart)))
      }
      download(zip(files), `${data.file}.zip`)
      say(`Saved as ${data.file}.zip, ${files.length} files`)
    } catch (error) {
      say(`The charts could not be saved: ${error.message ?? error}`)
    }
    root._busy = false
    button.removeAttribute("aria-disabled")
  }
  if (data.at_once && !root._begun) {
    root._begun = true
    button.onclick()
  }
}

async function filesOf(Plotly, root, chart) {
  const style = getComputedStyle(root)
  const background = style.getPropertyValue("--st-background-color").trim()
  const plot = document.createElement("div")
  Object.assign(plot.style, { position: "absolute", left: "-10000px", width: `${chart.width}px`, height: `${chart.height}px` })
  document.body.append(plot)
  try {
    const { data, layout } = JSON.parse(chart.figure)
    await Plotly.newPlot(plot, data, themed(layout, style, chart.height), { staticPlot: true })
    const files = []
    for (const format of ["png", "svg", "csv"]) files.push([`${chart.file}.${format}`, await fileOf(Plotly, plot, background, format)])
    return files
  } finally {
    Plotly.purge(plot)
    plot.remove()
  }
}
