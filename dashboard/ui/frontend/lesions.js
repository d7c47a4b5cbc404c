// Closed lines round lesions over a picture of this size, as an SVG for a `.side` of swipe.js: white on a dark rim, so that they
// are seen on white tissue, too. `lesions`: points [x, y] each.
function lesionLines(lesions, width, height) {
  const lines = svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" })
  for (const kind of ["lesion-halo", "lesion"])
    for (const points of lesions) lines.append(svg("polygon", { points: points.join(" "), class: kind }))
  return lines
}
