// What an operating point means for 1,000 women (breasts, images: as `words` says) at a prevalence that a slider sets. All steps
// are here already.
export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".screening")
  const state = (root._screening ??= { index: data.index })
  const range = root.querySelector("input")
  Object.assign(state, { data, report: (value) => setTriggerValue("changed", value) })
  Object.assign(range, { min: 0, max: data.steps.length - 1, step: 1 })

  state.show ??= () => {
    const step = state.data.steps[state.index]
    range.value = state.index
    range.style.setProperty("--filled", (state.index / (state.data.steps.length - 1)) * 100 + "%")
    range.setAttribute("aria-valuetext", step.prevalence)
    const { share, picture, dot, kinds } = state.data.words
    root.querySelector(".share").textContent = share
    root.querySelector(".dot").textContent = dot
    root.querySelector("canvas").setAttribute("aria-label", picture)
    root.querySelectorAll(".key .kind").forEach((each, kind) => (each.textContent = kinds[kind]))
    root.querySelector(".prevalence").textContent = step.prevalence
    root.querySelector(".sentence").textContent = step.sentence
    const cells = (texts) => texts.map((textContent) => element("td", { textContent }))
    root.querySelector("tbody").replaceChildren(...step.rows.map((texts) => element("tr", {}, ...cells(texts))))
    paint(root.querySelector("canvas"), step.people, getComputedStyle(root))
    root.querySelectorAll(".key b").forEach((each, kind) => (each.textContent = step.people[kind].toLocaleString("en")))
    bus.dials = { ...bus.dials, [state.data.dial]: state.index }
    emit("threshold", { dial: state.data.dial, index: state.index })
  }
  range.oninput = () => {
    state.index = Number(range.value)
    state.show()
    clearTimeout(state.timer)
    state.timer = setTimeout(() => state.report(state.index), 500)
  }
  if (!state.timer || data.index === state.index) state.index = data.index
  state.show()
}

const COLORS = ["#D55E00", "", "#E69F00", "#56B4E9"] // found, missed, recalled for nothing, left alone

// A dot for each, 50 in a row: found, missed, false alarms, the rest.
function paint(canvas, people, style) {
  const ratio = window.devicePixelRatio || 1
  const [wide, high, step] = [50, 20, 12]
  Object.assign(canvas, { width: wide * step * ratio, height: high * step * ratio })
  const pen = canvas.getContext("2d")
  pen.scale(ratio, ratio)
  const kinds = people.flatMap((count, kind) => Array(count).fill(kind))
  const text = style.getPropertyValue("--st-text-color").trim() || "#000"
  kinds.slice(0, wide * high).forEach((kind, index) => {
    const [x, y] = [(index % wide) * step + step / 2, Math.floor(index / wide) * step + step / 2]
    pen.beginPath()
    pen.globalAlpha = kind === 3 ? 0.45 : 1
    pen.arc(x, y, kind === 1 ? 3.6 : 4.4, 0, 2 * Math.PI)
    if (kind === 1) {
      pen.strokeStyle = text
      pen.lineWidth = 1.8
      pen.stroke()
    } else {
      pen.fillStyle = COLORS[kind]
      pen.fill()
    }
  })
}
