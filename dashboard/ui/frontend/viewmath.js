// The arithmetic of the image viewer, without a browser: grey levels of tiles, levels of a pyramid, window, orientation, ruler.
const TILE = 512 // as dashboard.cache.tiles
const WHITE = 65535

// ---------------------------------------------------------------- tiles

// Grey levels of a tile (Uint16Array, row by row) from its bytes, as dashboard.cache.tiles.packed writes them.
function unpackTile(bytes, width, height) {
  const count = width * height
  if (bytes.length !== 2 * count) throw new Error(`expected ${2 * count} bytes of a tile, got ${bytes.length}`)
  const levels = new Uint16Array(count)
  for (let row = 0, at = 0; row < height; row++) {
    let level = 0
    for (const end = at + width; at < end; at++) {
      const number = (bytes[at] << 8) | bytes[count + at]
      level = (level + ((number >>> 1) ^ -(number & 1))) & WHITE
      levels[at] = level
    }
  }
  return levels
}

// The size of each level of a picture: halved until it is a single tile.
function pyramid(width, height) {
  const levels = [{ width, height }]
  while (Math.max(width, height) > TILE) levels.push({ width: (width = Math.ceil(width / 2)), height: (height = Math.ceil(height / 2)) })
  return levels
}

// The coarsest level that has a pixel for each of the screen's, where one of the picture's own takes `scale` of these.
const levelFor = (scale, count) => Math.min(count - 1, Math.max(0, Math.floor(Math.log2(1 / scale) + 1e-6)))

// The tiles of a level that a part of the picture (left, top, right, bottom in its own pixels) touches: first and last column
// and row; null where it lies beyond its edges.
function touched(part, { width, height }, level) {
  const side = TILE * 2 ** level
  const [left, top] = [Math.max(0, Math.floor(part[0] / side)), Math.max(0, Math.floor(part[1] / side))]
  const right = Math.min(Math.ceil(width / TILE), Math.ceil(part[2] / side)) - 1
  const bottom = Math.min(Math.ceil(height / TILE), Math.ceil(part[3] / side)) - 1
  return left <= right && top <= bottom ? { left, top, right, bottom } : null
}

// ---------------------------------------------------------------- window

const WHOLE = { centre: 0.5, width: 1 } // grey levels from 0 to 1

// RGBA of each of 65,536 grey levels: below the window black, above it white; inverted the other way round.
function lookup({ centre, width }, inverted) {
  const table = new Uint32Array(WHITE + 1)
  const low = centre - width / 2
  for (let level = 0; level <= WHITE; level++) {
    const share = Math.min(1, Math.max(0, (level / WHITE - low) / width))
    const grey = Math.floor((inverted ? 1 - share : share) * 255 + 0.5)
    table[level] = (0xff000000 | (grey << 16) | (grey << 8) | grey) >>> 0
  }
  return table
}

// The window after dragging by shares of the picture's box: rightwards wider, downwards darker, as OHIF does.
function dragged({ centre, width }, across, down) {
  return { centre: Math.min(1, Math.max(0, centre + down * width)), width: Math.min(2, Math.max(0.005, width * Math.exp(2 * across))) }
}

// The same for an <img>, as a CSS filter: what the window makes of grey levels from 0 to 1. It begins at black or above.
function windowFilter({ centre, width }, inverted) {
  const middle = Math.max(centre, width / 2)
  return `brightness(${1 / (2 * middle)}) contrast(${(2 * middle) / width}) invert(${inverted ? 1 : 0})`
}

// ---------------------------------------------------------------- orientation

// {turns, mirrored}: mirrored left to right, then turned clockwise by `turns` quarters.
const turned = ({ turns, mirrored }) => ({ turns: (turns + 1) % 4, mirrored })
const flipped = ({ turns, mirrored }, axis) => ({ turns: (axis === "horizontal" ? 4 - turns : 6 - turns) % 4, mirrored: !mirrored })

// [a, b, c, d, e, f] as a canvas has them: (x, y) -> (a x + c y + e, b x + d y + f). From a picture of this size to how it lies.
function lying({ turns, mirrored }, width, height) {
  const turn = [
    [1, 0, 0, 1, 0, 0],
    [0, 1, -1, 0, height, 0],
    [-1, 0, 0, -1, width, height],
    [0, -1, 1, 0, 0, width],
  ][turns]
  return mirrored ? times(turn, [-1, 0, 0, 1, width, 0]) : turn
}

// The matrix that does `second`, then `first`.
function times(first, second) {
  const [a, b, c, d, e, f] = first
  const [p, q, r, s, t, u] = second
  return [a * p + c * q, b * p + d * q, a * r + c * s, b * r + d * s, a * t + c * u + e, b * t + d * u + f]
}

function inverse([a, b, c, d, e, f]) {
  const area = a * d - b * c
  return [d / area, -b / area, -c / area, a / area, (c * f - d * e) / area, (b * e - a * f) / area]
}

const apply = ([a, b, c, d, e, f], [x, y]) => [a * x + c * y + e, b * x + d * y + f]
const enlargement = ([a, b, c, d]) => Math.sqrt(Math.abs(a * d - b * c))

// The smallest upright box round a box (left, top, right, bottom) that a matrix has moved.
function boxThrough(matrix, [left, top, right, bottom]) {
  const corners = [
    [left, top],
    [right, top],
    [right, bottom],
    [left, bottom],
  ].map((corner) => apply(matrix, corner))
  const [xs, ys] = [corners.map(([x]) => x), corners.map(([, y]) => y)]
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)]
}

// ---------------------------------------------------------------- where a picture lies in its pane

// Screen pixels of one of a pane's own pixels when the whole picture is seen. Panes that are hung together show one size
// alike: of a millimetre where all know it, else of a pixel where all have the same size; else each fills its own pane.
function fits(panes) {
  const alone = panes.map(({ box, size }) => Math.min(box[0] / size[0], box[1] / size[1]))
  const known = panes.every(({ spacing }) => spacing)
  const same = panes.every(({ size }) => size[0] === panes[0].size[0] && size[1] === panes[0].size[1])
  if (!known && !same) return alone
  const units = panes.map(({ spacing }) => (known ? spacing[1] : 1))
  const common = Math.min(...alone.map((scale, index) => scale / units[index]))
  return units.map((unit) => common * unit)
}

// The upper left corner of a picture of `shown` screen pixels in its box, moved by `x`, `y`: it never leaves the box, and where
// it is smaller it lies at its anchor. Breasts that are hung back to back (`side` -1) are moved against each other.
function corner(box, shown, { x, y }, { anchor, side }) {
  const free = [box[0] - shown[0], box[1] - shown[1]]
  const rest = [free[0] * { left: 0, right: 1, center: 0.5 }[anchor], free[1] / 2]
  const keep = (value, space) => (space >= 0 ? null : Math.min(0, Math.max(space, value)))
  return [keep(rest[0] + side * x, free[0]) ?? rest[0], keep(rest[1] + y, free[1]) ?? rest[1]]
}

// How far the picture has really been moved, given the corner that it has.
function moved(box, shown, at, { anchor, side }) {
  const rest = [(box[0] - shown[0]) * { left: 0, right: 1, center: 0.5 }[anchor], (box[1] - shown[1]) / 2]
  return { x: side * (at[0] - rest[0]), y: at[1] - rest[1] }
}

// ---------------------------------------------------------------- measuring

// The distance of two points [x, y] in pixels, in words: in mm where `spacing` (row, column) is known, else in pixels.
function distance(from, to, spacing) {
  const [x, y] = [to[0] - from[0], to[1] - from[1]]
  if (!spacing) return `${Math.hypot(x, y).toFixed(0)} px`
  return `${Math.hypot(x * spacing[1], y * spacing[0]).toFixed(1)} mm`
}
