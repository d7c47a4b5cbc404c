// An image on black, or a note in its place, over a coloured label, a caption and a detail: see `fillTile`.
function tile(tag, { alt, label, color, caption, detail }) {
  const name = label ? element("span", { className: "label", textContent: label }) : null
  name?.style.setProperty("--color", color)
  const text = element("span", { className: "caption", textContent: caption, title: caption })
  const frame = element("div", { className: "frame" }, element("img", { alt }), element("span", { className: "missing" }))
  const line = caption || label ? element("div", { className: "line" }, name, text) : null
  const more = detail ? element("div", { className: "detail", textContent: detail, title: detail }) : null
  return element(tag, { className: "tile" }, frame, line, more)
}

// Show the tile's image, or the note where there is one.
function fillTile(root, note) {
  const [image, missing] = [root.querySelector("img"), root.querySelector(".missing")]
  image.hidden = Boolean(note)
  missing.hidden = !note
  missing.textContent = note
}
