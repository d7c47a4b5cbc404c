// The chart library, fetched once for all charts of a page, and a chart's layout in the theme's colours.
function library(address) {
  window._mammolabPlotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script")
    script.src = here(address)
    script.onload = () => resolve(window.Plotly)
    script.onerror = () => {
      window._mammolabPlotly = undefined
      reject(new Error(address))
    }
    document.head.append(script)
  })
  return window._mammolabPlotly
}

// `style`: the computed style of an element of the page, which knows the theme.
function themed(layout, style, height) {
  const text = style.getPropertyValue("--st-text-color").trim()
  const background = style.getPropertyValue("--st-secondary-background-color").trim()
  layout.font = { ...layout.font, family: style.getPropertyValue("--st-font").trim() || undefined }
  if (text) layout.font.color = text
  layout.hoverlabel = { ...layout.hoverlabel, bgcolor: background || undefined, font: { size: 14, color: text || undefined } }
  layout.autosize = true
  layout.height = height
  return layout
}
