// A grid of images on pure black, each with a caption and a coloured label under it; a click reports the tile's id.
export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".gallery")
  const [header, blobs] = unpack(data)
  root.style.setProperty("--columns", header.columns)
  root.style.setProperty("--height", header.height + "px")
  root.classList.toggle("pixelated", Boolean(header.pixelated))
  root.classList.toggle("clickable", Boolean(header.clickable))
  const old = root._urls ?? []
  root._urls = blobs.map((blob) => (blob.size ? URL.createObjectURL(blob) : ""))
  const tiles = header.tiles.map((tile, index) => {
    const figure = document.createElement(header.clickable ? "button" : "figure")
    figure.className = "tile"
    const frame = document.createElement("div")
    frame.className = "frame"
    if (root._urls[index]) {
      const image = document.createElement("img")
      image.alt = tile.alt
      image.src = root._urls[index]
      frame.append(image)
    } else {
      const note = document.createElement("span")
      note.className = "missing"
      note.textContent = tile.missing || "not readable"
      frame.append(note)
    }
    figure.append(frame)
    if (tile.caption || tile.label) {
      const line = document.createElement("div")
      line.className = "line"
      if (tile.label) {
        const label = document.createElement("span")
        label.className = "label"
        label.textContent = tile.label
        label.style.setProperty("--color", tile.color)
        line.append(label)
      }
      const caption = document.createElement("span")
      caption.className = "caption"
      caption.textContent = tile.caption
      caption.title = tile.caption
      line.append(caption)
      figure.append(line)
    }
    if (tile.detail) {
      const detail = document.createElement("div")
      detail.className = "detail"
      detail.textContent = detail.title = tile.detail
      figure.append(detail)
    }
    if (header.clickable) figure.onclick = () => setTriggerValue("picked", tile.id)
    return figure
  })
  root.replaceChildren(...tiles)
  setTimeout(() => old.forEach((url) => url && URL.revokeObjectURL(url)), 1000)
}
