// A grid of images on pure black, each with a caption and a coloured label under it; a click reports the tile's id.
export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".gallery")
  const [header, blobs] = unpack(data)
  root.style.setProperty("--columns", header.columns)
  root.style.setProperty("--height", header.height + "px")
  root.classList.toggle("pixelated", Boolean(header.pixelated))
  const old = root._urls ?? []
  root._urls = blobs.map((blob) => (blob.size ? URL.createObjectURL(blob) : ""))
  const tiles = header.tiles.map((each, index) => {
    const made = tile(header.clickable ? "button" : "figure", { ...each, alt: each.caption || each.label || "image" })
    const url = root._urls[index]
    if (url) made.querySelector("img").src = url
    fillTile(made, url ? "" : each.missing || "not readable")
    if (header.clickable) made.onclick = () => setTriggerValue("picked", each.id)
    return made
  })
  root.replaceChildren(...tiles)
  setTimeout(() => old.forEach((url) => url && URL.revokeObjectURL(url)), 1000)
}
