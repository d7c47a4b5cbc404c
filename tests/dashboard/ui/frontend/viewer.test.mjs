// The arithmetic of the image viewer: grey levels of tiles, window, orientation, hanging, distances. Run as logic.test.mjs.
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import test from "node:test"

import { load } from "./load.mjs"

const near = (found, expected, by = 1e-9) =>
  found.forEach((value, index) => assert.ok(Math.abs(value - expected[index]) <= by, `${found} is not ${expected}`))
const math = (...wanted) => load(["viewmath"], wanted)

// ---------------------------------------------------------------- tiles

test("a tile packed by the server unpacks to its grey levels", { skip: !process.env.TILE && "run test_frontend.py" }, () => {
  const { unpackTile } = math("unpackTile")
  const { width, height, levels } = JSON.parse(readFileSync(`${process.env.TILE}.json`, "utf8"))
  assert.deepEqual([...unpackTile(new Uint8Array(readFileSync(process.env.TILE)), width, height)], levels)
  assert.throws(() => unpackTile(new Uint8Array(3), 1, 1), /expected 2 bytes of a tile, got 3/)
})

test("a pyramid is halved until it is a single tile", () => {
  const { pyramid } = math("pyramid")
  assert.deepEqual(
    pyramid(3328, 4097).map(({ width, height }) => [width, height]),
    [
      [3328, 4097],
      [1664, 2049],
      [832, 1025],
      [416, 513],
      [208, 257],
    ],
  )
  assert.equal(pyramid(512, 512).length, 1)
})

test("the level has at least a pixel for each of the screen's, and no level is made up", () => {
  const { levelFor } = math("levelFor")
  assert.deepEqual(
    [2, 1, 0.9, 0.5, 0.26, 0.25, 0.01].map((scale) => levelFor(scale, 4)),
    [0, 0, 0, 1, 1, 2, 3],
  )
})

test("only the tiles that are seen are asked for", () => {
  const { touched } = math("touched")
  const size = { width: 1300, height: 600 }
  assert.deepEqual(touched([-50, -50, 5000, 5000], size, 0), { left: 0, top: 0, right: 2, bottom: 1 })
  assert.deepEqual(touched([513, 0, 1000, 512], size, 0), { left: 1, top: 0, right: 1, bottom: 0 })
  assert.deepEqual(touched([1030, 0, 1100, 100], { width: 650, height: 300 }, 1), { left: 1, top: 0, right: 1, bottom: 0 })
  assert.equal(touched([1300, 700, 1400, 800], { width: 1024, height: 512 }, 0), null)
})

// ---------------------------------------------------------------- window

test("the window makes black and white of its ends, and inverted white and black", () => {
  const { lookup } = math("lookup")
  const grey = (table, share) => table[Math.round(share * 65535)] & 0xff
  const plain = lookup({ centre: 0.5, width: 1 }, false)
  for (let level = 0; level < 256; level++) assert.equal(plain[level * 257], (0xff000000 | (level * 0x10101)) >>> 0)
  const narrow = lookup({ centre: 0.5, width: 0.2 }, false)
  assert.deepEqual([0, 0.4, 0.5, 0.6, 1].map((share) => grey(narrow, share)), [0, 0, 128, 255, 255])
  const inverted = lookup({ centre: 0.5, width: 0.2 }, true)
  assert.deepEqual([0, 0.4, 0.6, 1].map((share) => grey(inverted, share)), [255, 255, 0, 0])
  const steps = new Set(lookup({ centre: 0.5, width: 255 / 65535 }, false))
  assert.equal(steps.size, 256, "a narrow window shows steps that 8 bits would not have")
})

test("an image's filter does what the window does to its grey levels", () => {
  const { windowFilter } = math("windowFilter")
  const clamp = (value) => Math.min(1, Math.max(0, value))
  for (const [centre, width, inverted] of [[0.5, 1, false], [0.3, 0.2, false], [0.8, 0.3, true], [0.9, 1.2, false]]) {
    const [, bright, contrast, turned] = windowFilter({ centre, width }, inverted).match(/brightness\((.*)\) contrast\((.*)\) invert\((.*)\)/).map(Number)
    for (let level = 0; level <= 1; level += 0.05) {
      const seen = clamp((clamp(level * bright) - 0.5) * contrast + 0.5)
      const expected = clamp((level - centre + width / 2) / width)
      near([turned ? 1 - seen : seen], [inverted ? 1 - expected : expected])
    }
  }
})

test("dragging right widens the window, dragging down makes the picture darker, within bounds", () => {
  const { dragged } = math("dragged")
  const start = { centre: 0.5, width: 1 }
  assert.ok(dragged(start, 0.1, 0).width > 1 && dragged(start, -0.1, 0).width < 1)
  assert.ok(dragged(start, 0, 0.1).centre > 0.5)
  assert.deepEqual(dragged(start, 99, 99), { centre: 1, width: 2 })
  assert.deepEqual(dragged(start, -99, -99), { centre: 0, width: 0.005 })
})

// ---------------------------------------------------------------- orientation

const LIES = [false, true].flatMap((mirrored) => [0, 1, 2, 3].map((turns) => ({ turns, mirrored })))
const [W, H] = [300, 200]

test("four quarter turns and two flips bring a picture back, from every orientation", () => {
  const { turned, flipped } = math("turned", "flipped")
  for (const lie of LIES) {
    assert.deepEqual(turned(turned(turned(turned(lie)))), lie)
    for (const axis of ["horizontal", "vertical"]) assert.deepEqual(flipped(flipped(lie, axis), axis), lie)
    assert.deepEqual(flipped(flipped(lie, "horizontal"), "vertical"), turned(turned(lie)))
  }
})

test("turning and flipping move what is seen as they say", () => {
  const { turned, flipped, lying, apply } = math("turned", "flipped", "lying", "apply")
  for (const lie of LIES) {
    const [w, h] = lie.turns % 2 ? [H, W] : [W, H]
    const [x, y] = apply(lying(lie, W, H), [30, 50])
    assert.ok(x >= 0 && x <= w && y >= 0 && y <= h)
    near(apply(lying(turned(lie), W, H), [30, 50]), [h - y, x])
    near(apply(lying(flipped(lie, "horizontal"), W, H), [30, 50]), [w - x, y])
    near(apply(lying(flipped(lie, "vertical"), W, H), [30, 50]), [x, h - y])
  }
})

test("from the picture to the screen and back is the same place", () => {
  const { lying, times, inverse, apply, enlargement, boxThrough } = math("lying", "times", "inverse", "apply", "enlargement", "boxThrough")
  for (const lie of LIES) {
    const matrix = times([1.7, 0, 0, 1.7, -40, 25], lying(lie, W, H))
    near(apply(inverse(matrix), apply(matrix, [12.5, 99])), [12.5, 99])
    near([enlargement(matrix)], [1.7])
    near(boxThrough(inverse(matrix), boxThrough(matrix, [10, 20, 30, 60])), [10, 20, 30, 60])
  }
})

// ---------------------------------------------------------------- where a picture lies

test("breasts that are hung back to back touch the middle and move against each other", () => {
  const { corner, moved } = math("corner", "moved")
  const [right, left] = [
    { anchor: "right", side: -1 },
    { anchor: "left", side: 1 },
  ]
  assert.deepEqual(corner([400, 300], [200, 300], { x: 0, y: 0 }, right), [200, 0])
  assert.deepEqual(corner([400, 300], [200, 300], { x: 0, y: 0 }, left), [0, 0])
  const [box, shown] = [
    [400, 300],
    [800, 1200],
  ]
  const look = moved(box, shown, [-350, -100], right) // the right breast's picture, dragged by 50 to the right
  const [x] = corner(box, shown, look, left)
  assert.deepEqual(corner(box, shown, look, right), [-350, -100])
  assert.equal(x, -50, "the left one went as far to the left")
})

test("a picture never leaves its box, and lies in its middle while it is smaller", () => {
  const { corner } = math("corner")
  const pane = { anchor: "center", side: 1 }
  assert.deepEqual(corner([400, 300], [100, 100], { x: 70, y: 70 }, pane), [150, 100])
  assert.deepEqual(corner([400, 300], [800, 600], { x: 9999, y: -9999 }, pane), [0, -300])
})

test("panes show a millimetre alike where all know it, else a pixel where all have one size", () => {
  const { fits } = math("fits")
  const pane = (width, height, spacing) => ({ box: [100, 100], size: [width, height], spacing })
  const [one, other] = fits([pane(1000, 1000, [0.1, 0.1]), pane(1000, 1000, [0.05, 0.05])])
  near([one / 0.1], [other / 0.05])
  assert.ok(one * 1000 <= 100 && other * 1000 <= 100)
  near(fits([pane(200, 100, null), pane(50, 100, [0.1, 0.1])]), [0.5, 1])
  near(fits([pane(200, 100, null), pane(200, 100, null)]), [0.5, 0.5])
})

// ---------------------------------------------------------------- measuring

test("distances are in millimetres where the file has them, else in pixels, and say so", () => {
  const { distance } = math("distance")
  assert.equal(distance([0, 0], [30, 40], [0.2, 0.1]), "8.5 mm")
  assert.equal(distance([10, 10], [40, 50], null), "50 px")
})

test("a scale bar has a round length and fits", () => {
  const { barLength } = load(["around"], ["barLength"])
  assert.equal(barLength(2), 50)
  assert.equal(barLength(100), 1)
})

// ---------------------------------------------------------------- the store

const rest = () => new Promise((resolve) => setImmediate(resolve))
const tiles = (names) => names.map((name) => ({ name }))

test("the most wanted tiles are fetched first, each once, some at a time", async () => {
  const { tileStore } = load(["viewmath", "tilestore"], ["tileStore"])
  const asked = []
  const finish = []
  const fetchTile = ({ name }) => {
    asked.push(name)
    return new Promise((resolve) => finish.push(() => resolve(new Uint16Array(4))))
  }
  const store = tileStore(fetchTile, () => undefined, { atOnce: 2 })
  store.want(tiles(["a", "b", "c"]))
  store.want(tiles(["a", "d"]))
  assert.deepEqual(asked, ["a", "b"])
  finish.splice(0).forEach((done) => done())
  await rest()
  assert.deepEqual(asked, ["a", "b", "d"], "c is no longer wanted")
  assert.equal(store.get("a").length, 4)
  assert.equal(store.get("c"), undefined)
})

test("what was used least recently goes first, and nothing that is shown", async () => {
  const { tileStore } = load(["viewmath", "tilestore"], ["tileStore"])
  const store = tileStore(async () => new Uint16Array(50), () => undefined, { room: 250 })
  for (const name of ["a", "b"]) {
    store.want(tiles([name]))
    await rest()
  }
  store.get("a")
  store.want(tiles(["c"]))
  await rest()
  assert.deepEqual(["a", "b", "c"].map((name) => Boolean(store.get(name))), [true, false, true])
  store.want(tiles(["x", "y", "z"]))
  await rest()
  await rest()
  assert.ok(["x", "y", "z"].every((name) => store.get(name)), "the room is exceeded rather than what is seen")
})

test("a tile that failed is reported and not asked for again until that is wished", async () => {
  const { tileStore } = load(["viewmath", "tilestore"], ["tileStore"])
  let asked = 0
  const told = []
  const store = tileStore(async () => {
    asked += 1
    throw new Error("no")
  }, (error) => told.push(error.message))
  store.want(tiles(["a"]))
  await rest()
  store.want(tiles(["a"]))
  await rest()
  assert.deepEqual([asked, told], [1, ["no"]])
  store.retry()
  await rest()
  assert.equal(asked, 2)
})

test("the grey level under the pointer is the pixel's own where its tile is here, else marked as a mean", () => {
  const { greyAt, pyramid } = load(["viewmath", "tilestore"], ["greyAt", "pyramid"])
  const picture = { name: "p", width: 1000, height: 600, levels: pyramid(1000, 600) }
  const fine = new Uint16Array((1000 - 512) * 512).fill(100)
  fine[3 * 488 + 8] = 65535
  const kept = new Map([["p|0|1|0", fine], ["p|1|0|0", new Uint16Array(500 * 300).fill(65535)]])
  const store = { get: (name) => kept.get(name) }
  assert.deepEqual(greyAt(store, picture, [520.9, 3.2]), { value: 1, exact: true })
  assert.deepEqual(greyAt(store, picture, [5, 5]), { value: 1, exact: false })
  assert.equal(greyAt(store, picture, [1000, 5]), null)
  assert.equal(greyAt(store, picture, [-1, 5]), null)
})
