// Tiles of pictures (dashboard.cache.tiles): those wanted are fetched, the most wanted first, and cached as long as there is room.
// `fetchTile(tile)` gives a promise of its grey levels; `onChange(error)` is called when one has come, or failed.
function tileStore(fetchTile, onChange, { room = 192 << 20, atOnce = 4 } = {}) {
  const cached = new Map() // name -> grey levels, or null while it is on its way; the least recently used first
  const failed = new Set()
  let [wanted, flying, size] = [[], 0, 0]
  const drop = () => {
    const needed = new Set(wanted.map(({ name }) => name))
    for (const [name, levels] of cached) {
      if (size <= room) return
      if (!levels || needed.has(name)) continue
      cached.delete(name)
      size -= levels.byteLength
    }
  }
  const load = async (tile) => {
    flying += 1
    cached.set(tile.name, null)
    let problem = null
    try {
      const levels = await fetchTile(tile)
      cached.set(tile.name, levels)
      size += levels.byteLength
      drop()
    } catch (error) {
      cached.delete(tile.name)
      failed.add(tile.name)
      problem = error
    }
    flying -= 1
    onChange(problem)
    next()
  }
  const next = () => {
    while (flying < atOnce) {
      const tile = wanted.find(({ name }) => !cached.has(name) && !failed.has(name))
      if (!tile) return
      load(tile)
    }
  }
  return {
    // The grey levels of a tile, or undefined while they are not here.
    get(name) {
      const levels = cached.get(name)
      if (!levels) return undefined
      cached.delete(name)
      cached.set(name, levels)
      return levels
    },
    // From now on these are wanted ({name, ...}), in this order, and no others.
    want(tiles) {
      wanted = tiles
      next()
    },
    // Ask again for what failed.
    retry() {
      failed.clear()
      next()
    },
    get busy() {
      return flying > 0
    },
  }
}

// A tile of a picture: its name, where it is in its level, and its size.
function tileOf(picture, level, x, y) {
  const { width, height } = picture.levels[level]
  const size = { width: Math.min(TILE, width - x * TILE), height: Math.min(TILE, height - y * TILE) }
  return { picture, level, x, y, ...size, name: `${picture.name}|${level}|${x}|${y}` }
}

// The grey level (0 to 1) of a picture at a place [x, y] in its own pixels, from the finest tile that is here: `exact` says
// whether it is of that very pixel, not the mean of some. null outside of the picture, or where there is none.
function greyAt(store, picture, [x, y]) {
  if (!(x >= 0 && y >= 0 && x < picture.width && y < picture.height)) return null
  for (let level = 0; level < picture.levels.length; level++) {
    const [column, row] = [Math.floor(x / 2 ** level), Math.floor(y / 2 ** level)]
    const tile = tileOf(picture, level, Math.floor(column / TILE), Math.floor(row / TILE))
    const levels = store.get(tile.name)
    if (levels) return { value: levels[(row % TILE) * tile.width + (column % TILE)] / WHITE, exact: level === 0 }
  }
  return null
}

// Draw a picture: `matrix` from its own pixels to those of the canvas, of which `part` (left, top, right, bottom) is to be
// filled. `table` makes RGBA of grey levels; `planes` keeps what was drawn last time under `slot`. Returns the tiles that it
// needs. While they are on their way a coarser picture is in their place.
function paintPicture(context, picture, { matrix, part, table, store, planes, slot }) {
  const seen = boxThrough(inverse(matrix), part)
  const top = picture.levels.length - 1
  const level = levelFor(enlargement(matrix), picture.levels.length)
  const needed = []
  const plane = (which, box, name) => {
    const range = touched(box, picture.levels[which], which)
    if (!range) return null
    const at = [picture.name, which, ...Object.values(range)].join(" ")
    let drawn = planes.get(name)
    if (drawn?.at !== at) {
      const { width, height } = picture.levels[which]
      const canvas = new OffscreenCanvas(
        Math.min(width, (range.right + 1) * TILE) - range.left * TILE,
        Math.min(height, (range.bottom + 1) * TILE) - range.top * TILE,
      )
      drawn = { at, picture: picture.name, level: which, range, canvas }
      planes.set(name, drawn)
    }
    if (drawn.table !== table) {
      Object.assign(drawn, { table, missing: [] })
      for (let y = range.top; y <= range.bottom; y++)
        for (let x = range.left; x <= range.right; x++) drawn.missing.push(tileOf(picture, which, x, y))
    }
    drawn.missing = drawn.missing.filter((tile) => {
      const levels = store.get(tile.name)
      if (!levels) return true
      const pixels = new ImageData(tile.width, tile.height)
      const grey = new Uint32Array(pixels.data.buffer)
      for (let index = 0; index < grey.length; index++) grey[index] = table[levels[index]]
      drawn.canvas.getContext("2d").putImageData(pixels, (tile.x - range.left) * TILE, (tile.y - range.top) * TILE)
      return false
    })
    needed.push(...drawn.missing)
    return drawn
  }
  const lay = ({ canvas, level, range }) => {
    const side = 2 ** level
    context.setTransform(...times(matrix, [side, 0, 0, side, range.left * TILE * side, range.top * TILE * side]))
    context.imageSmoothingEnabled = enlargement(matrix) * side < 2
    context.drawImage(canvas, 0, 0)
  }
  context.save()
  context.setTransform(1, 0, 0, 1, 0, 0)
  context.beginPath()
  context.rect(part[0], part[1], part[2] - part[0], part[3] - part[1])
  context.clip()
  context.setTransform(...matrix)
  context.beginPath()
  context.rect(0, 0, picture.width, picture.height)
  context.clip()
  const fine = plane(level, seen, slot)
  const last = planes.get(`${slot}:last`)
  if (fine && !fine.missing.length) planes.set(`${slot}:last`, fine)
  else {
    lay(plane(top, [0, 0, picture.width, picture.height], `${slot}:whole`))
    if (last?.picture === picture.name && last.table === table) lay(last)
  }
  if (fine) lay(fine)
  context.restore()
  // those in the middle first, the whole picture before all
  const [x, y] = [(seen[0] + seen[2]) / 2, (seen[1] + seen[3]) / 2]
  const far = (tile) => {
    const side = TILE * 2 ** tile.level
    return tile.level === top ? -1 : Math.hypot((tile.x + 0.5) * side - x, (tile.y + 0.5) * side - y)
  }
  return needed.sort((one, other) => far(one) - far(other))
}
