// The logic of the pages' components that needs no browser: run by test_frontend.py, or by `node --test`.
import assert from "node:assert/strict"
import { readFileSync, writeFileSync } from "node:fs"
import test from "node:test"

import { element, load } from "./load.mjs"

const rest = () => new Promise((resolve) => setImmediate(resolve))

// ---------------------------------------------------------------- messages

const MESSAGE = process.env.MESSAGE // a file that test_frontend.py has written with dashboard.cache.envelope
const SKIP = MESSAGE ? false : "no message of the server's: run test_frontend.py"

test("a message written by the server is read back with its header, its parts and their types", { skip: SKIP }, async () => {
  const { unpack } = load(["envelope"], ["unpack"])
  const [header, blobs] = unpack(new Uint8Array(readFileSync(MESSAGE)))
  assert.equal(header.text, "größer")
  assert.equal(await blobs[2].text(), "three")
  assert.deepEqual(
    blobs.map((blob) => [blob.size, blob.type]),
    [
      [8, "image/png"],
      [0, "image/jpeg"],
      [5, "image/jpeg"],
    ],
  )
})

test("a message is read from the middle of a larger buffer", async () => {
  const { unpack } = load(["envelope"], ["unpack"])
  const header = new TextEncoder().encode(JSON.stringify({ sizes: [2], types: ["image/jpeg"] }))
  const bytes = new Uint8Array(7 + 4 + header.length + 2)
  new DataView(bytes.buffer).setUint32(7, header.length, true)
  bytes.set(header, 11)
  bytes.set([104, 105], 11 + header.length)
  const [, [blob]] = unpack(bytes.subarray(7))
  assert.equal(await blob.text(), "hi")
})

// ---------------------------------------------------------------- calls and events

test("calls run one at a time and only the newest of those made meanwhile is carried out", async () => {
  const { coalesce } = load(["live"], ["coalesce"])
  const started = []
  let finish
  const call = coalesce((value) => {
    started.push(value)
    return new Promise((resolve) => (finish = resolve))
  })
  for (const value of [1, 2, 3]) call(value)
  assert.deepEqual(started, [1])
  finish()
  await rest()
  assert.deepEqual(started, [1, 3])
  finish()
  await rest()
  call(4)
  assert.deepEqual(started, [1, 3, 4])
})

test("a call that fails does not keep the next one from being carried out", async () => {
  const { coalesce } = load(["live"], ["coalesce"])
  const started = []
  const call = coalesce(async (value) => {
    started.push(value)
    await rest()
    if (value === 1) throw new Error("no answer")
  })
  const first = call(1)
  call(undefined)
  await assert.rejects(first, /no answer/)
  await rest()
  assert.deepEqual(started, [1, undefined])
})

test("a new listener of an element replaces its old one, and one of a removed element is dropped", () => {
  const { on, emit } = load(["live"], ["on", "emit"])
  const root = element()
  const heard = []
  on(root, "values", (detail) => heard.push(["old", detail]))
  on(root, "values", (detail) => heard.push(["new", detail]))
  emit("values", 1)
  emit("result", 2)
  root.isConnected = false
  emit("values", 3)
  root.isConnected = true
  emit("values", 4)
  assert.deepEqual(heard, [["new", 1]])
})

test("what is wrong with a request is an error in words, and marked where the address is unknown", async () => {
  const answers = [
    { ok: false, status: 422, json: async () => ({ reason: "clip_limit: too large" }) },
    { ok: false, status: 404, json: async () => ({ reason: "This image is no longer open here." }) },
    { ok: false, status: 500, json: async () => Promise.reject(new Error("no JSON")) },
  ]
  const asked = []
  const fetch = async (address) => {
    asked.push(address)
    const answer = answers.shift()
    if (!answer) throw new Error("refused")
    return answer
  }
  const { request } = load(["live"], ["request"], { fetch, here: (path) => `http://lab/${path}` })
  await assert.rejects(request("tune/t/picture", { x: "0.5", part: "" }), { message: "clip_limit: too large", lost: false })
  assert.deepEqual(asked, ["http://lab/tune/t/picture?x=0.5&part="])
  await assert.rejects(request("a", {}), { message: "This image is no longer open here.", lost: true })
  await assert.rejects(request("a", {}), { message: "The server answered 500.", lost: false })
  await assert.rejects(request("a", {}), { message: "The server does not answer." })
})

test("addresses start where the page's own scripts come from", () => {
  const scripts = [{ src: "http://lab/other.js" }, { src: "https://host/lab/static/js/main.js" }]
  const known = load(["here"], ["here"], { window: {}, document: { scripts, baseURI: "https://host/lab/train" } })
  assert.equal(known.here("tune/"), "https://host/lab/tune/")
  const none = load(["here"], ["here"], { window: {}, document: { scripts: [], baseURI: "https://host/lab/train" } })
  assert.equal(none.here("tune/"), "https://host/lab/tune/")
})

// ---------------------------------------------------------------- zoom and pan

function view(options) {
  const { swipe } = load(["swipe"], ["swipe"])
  const root = element()
  const state = swipe(root, options)
  Object.assign(state, { width: 800, height: 800 })
  return { root, state }
}

test("a picture lies in the middle of its box, whole and unstretched", () => {
  const { state } = view()
  assert.deepEqual(state.place(0, 0), { x: 100, y: 0, scale: 0.25 })
  assert.deepEqual(state.place(1, 1), { x: 300, y: 200, scale: 0.25 })
})

test("zooming leaves the point under the pointer where it is", () => {
  const { state } = view()
  const before = state.place(0.25, 0.75)
  state.zoomTo(3, before.x, before.y)
  const after = state.place(0.25, 0.75)
  assert.ok(Math.abs(after.x - before.x) < 1e-9 && Math.abs(after.y - before.y) < 1e-9)
  assert.equal(after.scale, 0.75)
})

test("the zoom ends at the whole picture and at four screen pixels for each of its own", () => {
  const { state } = view()
  state.zoomTo(1000, 0, 0)
  assert.equal(state.place(0, 0).scale, 4)
  state.zoomTo(0.001, 0, 0)
  assert.deepEqual([state.zoom, state.x, state.y], [1, 0, 0])
})

test("a picture cannot be moved out of its box", () => {
  const { state } = view()
  state.zoomTo(2, 0, 0)
  state.pan(1000, -1000)
  assert.deepEqual([state.x, state.y], [0, -200])
})

test("keys zoom, move and reset, and leave the browser's own alone", () => {
  const { root, state } = view()
  const press = (key, more = {}) => {
    let taken = false
    state.key({ key, target: { closest: () => null }, preventDefault: () => (taken = true), ...more })
    return taken
  }
  assert.ok(press("+") && state.zoom === 1.25)
  assert.ok(press("1") && state.place(0, 0).scale === 1)
  const { x } = state
  assert.ok(press("ArrowRight") && state.x === x - 60)
  assert.ok(press(" ") && root.classList.contains("held"))
  assert.ok(press("0") && state.zoom === 1)
  assert.ok(!press("ArrowRight") && !press("a") && !press("+", { ctrlKey: true }))
})

// ---------------------------------------------------------------- heatmaps and charts

const crossings = (path) => [...path.matchAll(/[ML]([\d.-]+) ([\d.-]+)/g)].map(([, x, y]) => [Number(x), Number(y)])

test("an outline runs where the levels pass the limit, between the pixels' centres", () => {
  const { contour } = load(["heat"], ["contour"])
  const levels = [0, 0, 0, 0, 100, 0, 0, 0, 0] // one pixel in the middle of 3 x 3
  const points = crossings(contour(levels, 3, 3, 50, 1))
  assert.equal(points.length, 8)
  for (const [x, y] of points) assert.ok(Math.abs(Math.hypot(x - 1.5, y - 1.5) - 0.5) < 1e-6)
})

test("an outline closes at the picture's border, and there is none without a level past the limit", () => {
  const { contour } = load(["heat"], ["contour"])
  assert.equal(contour([0, 0, 0, 0], 2, 2, 50, 1), "")
  const ends = new Map()
  for (const point of crossings(contour([100, 100, 100, 100], 2, 2, 50, 1)).map(String)) ends.set(point, (ends.get(point) ?? 0) + 1)
  assert.ok(ends.size > 0 && [...ends.values()].every((count) => count === 2))
})

test("evidence for the other class is outlined below its limit", () => {
  const { contour } = load(["heat"], ["contour"])
  assert.equal(contour([128, 128, 128, 0], 2, 2, 64, 1) === "", false)
  assert.equal(crossings(contour([128, 128, 128, 0], 2, 2, 64, -1)).length, 8)
})

test("a chart takes the values of the slider's step, in its traces and at places of its layout", () => {
  const { place } = load(["plot"], ["place"])
  const root = {
    _shown: { traces: [{ x: [1] }, { x: [2] }], layout: { shapes: [{ x0: 0, x1: 0 }] } },
    _wanted: { follow: { traces: { 1: { x: [[5], [6]] } }, layout: { "shapes.0.x0": [0.1, 0.2] } } },
  }
  place(root, 1)
  assert.deepEqual(root._shown, { traces: [{ x: [1] }, { x: [6] }], layout: { shapes: [{ x0: 0.2, x1: 0 }] } })
})

// ---------------------------------------------------------------- presentation

test("arrow keys turn the slides, but not in a field or on a slider, nor once the slides are gone", () => {
  const listeners = {}
  const window = { innerHeight: 731, addEventListener: (name, call) => (listeners[name] = call) }
  const document = { addEventListener: (name, call) => (listeners[name] = call) }
  const { component } = load(["keys"], ["component"], { window, document })
  const root = element()
  const turned = []
  const heights = []
  const draw = (height) =>
    component({
      data: { height },
      parentElement: root,
      setTriggerValue: (name, value) => turned.push(value),
      setStateValue: (name, value) => heights.push(value),
    })
  const press = (key, field = false, more = {}) =>
    listeners.keydown({ key, target: { closest: () => field }, preventDefault: () => {}, ...more })
  draw(null)
  draw(740)
  assert.deepEqual(heights, [740], "told once, and not what is known")
  press("ArrowRight")
  press("ArrowLeft")
  press("Escape")
  press("ArrowRight", true)
  press("ArrowRight", false, { ctrlKey: true })
  press("a")
  assert.deepEqual(turned, ["next", "previous", "end"])
  window.innerHeight = 1080
  listeners.resize()
  assert.deepEqual(heights, [740, 1080])
  root.isConnected = false
  press("ArrowRight")
  window.innerHeight = 500
  listeners.resize()
  assert.deepEqual([turned.length, heights.length], [3, 2])
})

// ---------------------------------------------------------------- charts as files

const SAVE = ["csvRows", "csvText", "csvCell", "crc32", "zip"]
const axes = { xaxis: { title: { text: "1 − specificity" } }, yaxis: { title: { text: "Sensitivity" } } }

test("no cell of a CSV is a formula, numbers keep their signs, and quotes are doubled", () => {
  const { csvCell } = load(["save"], SAVE)
  for (const text of ["=1+1", "+cmd|'/c calc'!A1", "-run", "@SUM(A1)"]) assert.ok(csvCell(text).replace('"', "").startsWith("'"))
  assert.deepEqual([-0.5, "-0.5", "+3", 0, null, undefined, NaN].map(csvCell), ["-0.5", "-0.5", "+3", "0", "", "", ""])
  assert.equal(csvCell('a "b", c'), '"a ""b"", c"')
  assert.equal(csvCell("<b>12</b> (3%)<br>missed"), "12 (3%) missed")
})

test("a chart's CSV has the visible series with their names, the band's edges and no decoration", () => {
  const { csvRows } = load(["save"], SAVE)
  const traces = [
    { name: "trace 0", hoverinfo: "skip", visible: true, x: [0, 1], y: [0, 1] }, // the line of chance
    { name: "trace 1", hoverinfo: "skip", visible: true, x: [0, 1], y: [0.1, 0.9] },
    { name: "95% interval", fill: "tonexty", visible: true, x: [0, 1], y: [0.3, 1] },
    { name: "=run AUC 0.7", visible: true, x: Float64Array.from([0, 1]), y: Float64Array.from([0.2, 1]) },
    { name: "hidden", visible: "legendonly", x: [5], y: [5] },
  ]
  const rows = csvRows(traces, axes)
  assert.deepEqual(rows[0], ["series", "1 − specificity", "Sensitivity"])
  assert.deepEqual(
    rows.slice(1).map(([name]) => name),
    ["95% interval (lower)", "95% interval (lower)", "95% interval (upper)", "95% interval (upper)", "=run AUC 0.7", "=run AUC 0.7"],
  )
  assert.deepEqual(rows[5], ["=run AUC 0.7", 0, 0.2])
})

test("limits, words on axes and the cells of a matrix are in the CSV", () => {
  const { csvRows, csvText } = load(["save"], SAVE)
  const error_x = { visible: true, symmetric: false, array: [0.1], arrayminus: [0.2] }
  const forest = [{ name: "AUC", visible: true, x: [0.7], y: [0], error_x }]
  const layout = { xaxis: { title: { text: "ROC AUC" } }, yaxis: { tickvals: [0], ticktext: ["View: CC"] } }
  assert.deepEqual(csvRows(forest, layout), [
    ["series", "ROC AUC", "y", "lower", "upper"],
    ["AUC", 0.7, "View: CC", 0.7 - 0.2, 0.7 + 0.1],
  ])
  const words = { tickvals: [0, 1], ticktext: ["benign", "malignant"] }
  const matrix = [{ name: "trace 0", visible: true, x: [0, 1], y: [0, 1], z: [[0.9, -0.1], [-0.2, 0.8]], text: [["9", "1"], ["2", "8"]] }]
  const text = csvText(csvRows(matrix, { xaxis: words, yaxis: words }))
  assert.ok(text.includes("values,malignant,benign,-0.1,1\r\n") && text.startsWith("series,x,y,value,text\r\n"))
})

test("files are packed into an archive that any program unpacks", () => {
  const { crc32, zip } = load(["save"], SAVE)
  assert.equal(crc32(new TextEncoder().encode("123456789")), 0xcbf43926) // the check value of this checksum
  const packed = zip([["größe.csv", new TextEncoder().encode("a,b\r\n")], ["leer.svg", new Uint8Array()]])
  assert.equal(new DataView(packed.buffer).getUint32(0, true), 0x04034b50)
  if (process.env.ARCHIVE) writeFileSync(process.env.ARCHIVE, packed) // test_frontend.py opens it
})
