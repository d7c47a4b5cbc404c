// Charts as files: PNG and SVG as the page shows them, CSV of what is drawn, and many files in one .zip. All of it is made in
// the browser, so nothing has to be installed on the server and nothing leaves the machine.

// ---------------------------------------------------------------- CSV

const plainWords = (words) => String(words ?? "").replace(/<br\s*\/?>/g, " ").replace(/<[^>]*>/g, "").trim()

// A text that a spreadsheet would take for a formula gets an apostrophe before it; numbers keep their signs.
function csvCell(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return ""
  if (typeof value === "number") return String(value)
  const text = plainWords(value)
  const number = text !== "" && Number.isFinite(Number(text))
  const safe = /^[=+\-@\t\r]/.test(text) && !number ? `'${text}` : text
  return /[",;\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}

const csvText = (rows) => rows.map((row) => row.map(csvCell).join(",") + "\r\n").join("")

// One row a point of every visible series. `traces`, `layout`: Plotly's full ones, in which nothing is left out.
function csvRows(traces, layout) {
  const axis = (trace, letter) => layout[(trace[`${letter}axis`] ?? letter).replace(/^([xy])/, "$1axis")] ?? {}
  const title = (of, otherwise) => plainWords(of.title?.text) || otherwise
  const shown = traces.map((trace, index) => ({ trace, name: seriesName(traces, index) }))
  const series = shown.filter(({ trace, name }) => name && (trace.visible ?? true) === true)
  const first = series[0]?.trace ?? {}
  const heat = series.some(({ trace }) => trace.z)
  const limits = series.some(({ trace }) => limitsOf(trace))
  const axes = new Set(series.map(({ trace }) => trace.yaxis ?? "y")).size > 1
  const words = series.some(({ trace }) => !trace.z && trace.text?.length && typeof trace.text !== "string")
  const head = ["series", title(axis(first, "x"), "x"), title(axis(first, "y"), "y")]
  if (axes) head.push("y axis")
  if (limits) head.push("lower", "upper")
  if (heat) head.push("value")
  if (heat || words) head.push("text")
  const rows = [head]
  for (const { trace, name } of series) {
    const [x, y] = ["x", "y"].map((letter) => worded(trace[letter], axis(trace, letter)))
    const add = (i, j, more) => {
      const row = [name, x[i], y[j]]
      if (axes) row.push(title(axis(trace, "y"), "y"))
      if (limits) row.push(...(limitsOf(trace)?.[i] ?? [null, null]))
      rows.push([...row, ...more])
    }
    if (trace.z) for (const [j, line] of trace.z.entries()) for (let i = 0; i < line.length; i++) add(i, j, [line[i], trace.text?.[j]?.[i]])
    else
      for (let i = 0; i < Math.max(x.length, y.length); i++) {
        if (x[i] === null || y[i] === null) continue
        add(i, i, [...(heat ? [null] : []), ...(heat || words ? [typeof trace.text === "string" ? null : trace.text?.[i]] : [])])
      }
  }
  return rows
}

// What a legend would call a series; a band's lower edge has the name of the band. "" for what only decorates.
function seriesName(traces, index) {
  const [trace, next, before] = [traces[index], traces[index + 1], traces[index - 1]]
  const own = (of) => (of?.name && !/^trace \d+$/.test(of.name) ? plainWords(of.name) : "")
  const band = (of) => of?.fill === "tonexty"
  if (band(next) && own(next)) return `${own(next)} (lower)`
  if (band(trace) && before && own(trace)) return `${own(trace)} (upper)`
  if (own(trace)) return own(trace)
  if (trace.hoverinfo === "skip") return ""
  return traces.length === 1 ? "values" : `series ${index + 1}`
}

function limitsOf(trace) {
  for (const letter of ["x", "y"]) {
    const error = trace[`error_${letter}`]
    if (!error?.visible || !error.array) continue
    const below = error.symmetric === false && error.arrayminus ? error.arrayminus : error.array
    return Array.from(error.array, (above, i) => [trace[letter][i] - below[i], trace[letter][i] + above])
  }
  return null
}

// Places on an axis whose ticks have words are written as these words.
function worded(values, axis) {
  const list = Array.from(values ?? [])
  const ticks = Array.from(axis.tickvals ?? [])
  if (!axis.ticktext || !list.length || !list.every((value) => ticks.includes(value))) return list
  return list.map((value) => axis.ticktext[ticks.indexOf(value)])
}

// ---------------------------------------------------------------- pictures

// The drawn chart as bytes. The fonts of a page do not reach into a picture, so that it is laid out with one that does.
async function pictureOf(Plotly, plot, background, format) {
  const { width, height } = plot.getBoundingClientRect()
  const layout = { ...plot.layout, paper_bgcolor: background || "#ffffff", autosize: false, width, height }
  layout.font = { ...layout.font, family: "Arial, Helvetica, 'Liberation Sans', sans-serif" }
  const size = { width, height, scale: format === "png" ? 2 : 1, format, imageDataOnly: true }
  const text = await Plotly.toImage({ data: plot.data, layout, config: { staticPlot: true } }, size)
  return format === "png" ? Uint8Array.from(atob(text), (char) => char.charCodeAt(0)) : new TextEncoder().encode(text)
}

const TYPES = { png: "image/png", svg: "image/svg+xml", csv: "text/csv;charset=utf-8", zip: "application/zip" }

async function fileOf(Plotly, plot, background, format) {
  if (format === "csv") return new TextEncoder().encode(csvText(csvRows(plot._fullData, plot._fullLayout)))
  return pictureOf(Plotly, plot, background, format)
}

function download(bytes, name) {
  const link = document.createElement("a")
  link.href = URL.createObjectURL(new Blob([bytes], { type: TYPES[name.split(".").pop()] }))
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}

// ---------------------------------------------------------------- one file of many

const CRC = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1
  return value
})

function crc32(bytes) {
  let crc = 0xffffffff
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8)
  return (crc ^ 0xffffffff) >>> 0
}

// A .zip of [name, bytes] as it stands in the format's specification, without compression: PNGs are compressed already.
function zip(files) {
  const local = []
  const central = []
  let offset = 0
  for (const [name, bytes] of files) {
    const title = new TextEncoder().encode(name)
    const [crc, size] = [crc32(bytes), bytes.length]
    // version, flags (names are UTF-8), method (stored), time, date (1 January 1980), checksum, sizes, length of the name
    const common = [[20, 2], [0x0800, 2], [0, 2], [0, 2], [33, 2], [crc, 4], [size, 4], [size, 4], [title.length, 2], [0, 2]]
    local.push(little([[0x04034b50, 4], ...common]), title, bytes)
    const more = [[0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]]
    central.push(little([[0x02014b50, 4], [20, 2], ...common, ...more]), title)
    offset += 30 + title.length + size
  }
  const length = central.reduce((sum, part) => sum + part.length, 0)
  const count = files.length
  const end = little([[0x06054b50, 4], [0, 2], [0, 2], [count, 2], [count, 2], [length, 4], [offset, 4], [0, 2]])
  return joined([...local, ...central, end])
}

function little(fields) {
  const bytes = []
  for (const [value, size] of fields) for (let byte = 0; byte < size; byte++) bytes.push((value >>> (8 * byte)) & 255)
  return Uint8Array.from(bytes)
}

function joined(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let offset = 0
  for (const part of parts) {
    whole.set(part, offset)
    offset += part.length
  }
  return whole
}
