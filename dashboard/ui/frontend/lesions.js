// Closed lines round lesions over a picture of this size, as an SVG for a `.side` of swipe.js: white on a dark rim, so that they
// are seen on white tissue, too. `lesions`: points [x, y] each.
function lesionLines(lesions, width, height) {
  const svg = (tag, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag)
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value)
    return node
  }
  const lines = svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" })
  for (const kind of ["lesion-halo", "lesion"])
    for (const points of lesions) lines.append(svg("polygon", { points: points.join(" "), class: kind }))
  return lines
}
