// Line drawings for buttons, on a field of 24 x 24.
const ICONS = {
  pan: "M12 3v18M3 12h18M9.5 5.5 12 3l2.5 2.5M9.5 18.5 12 21l2.5-2.5M5.5 9.5 3 12l2.5 2.5M18.5 9.5 21 12l-2.5 2.5",
  window: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2.5v2.5M12 19v2.5M2.5 12H5M19 12h2.5M5.3 5.3l1.8 1.8M16.9 16.9l1.8 1.8M5.3 18.7l1.8-1.8M16.9 7.1l1.8-1.8",
  measure: "M2.8 16.2 16.2 2.8l5 5L7.8 21.2zM6.5 12.5l2 2M9.8 9.2l3 3M13 6l2 2",
  loupe: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.3 15.3 21 21",
  outlines: "M9.5 4.4a8 8 0 0 1 5 0M18 6.7a8 8 0 0 1 1.9 4M19.6 14.6a8 8 0 0 1-2.8 3.9M13.6 19.9a8 8 0 0 1-4.8-.6M5.9 17.1a8 8 0 0 1-1.8-4M4.4 9.6a8 8 0 0 1 2.3-3.5",
  invert: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 4v16M12 7.5h5.5M12 10.5h7.5M12 13.5h7.5M12 16.5h5.5",
  rotate: "M4.5 11h9.5v9.5H4.5zM9 5.5h3a7 7 0 0 1 7 7V16M16.5 13.5 19 16l2.5-2.5",
  horizontal: "M12 3v18M9 6.5 3 17.5h6zM15 6.5l6 11h-6z",
  vertical: "M3 12h18M6.5 9 17.5 3v6zM6.5 15l11 6v-6z",
  fit: "M3.5 5h17v14h-17zM9 8.5h6v7H9z",
  reset: "M4.5 12a7.5 7.5 0 1 0 2.6-5.7M4 3.5v4.7h4.7",
  linked: "M9.5 14.5l5-5M11 6.800l2-2a4.3 4.3 0 0 1 6.1 6.1l-2 2M13 17.200l-2 2a4.3 4.3 0 0 1-6.1-6.1l2-2",
  full: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
}

const icon = (name) => {
  const drawing = svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" })
  drawing.append(svg("path", { d: ICONS[name] }))
  return drawing
}
