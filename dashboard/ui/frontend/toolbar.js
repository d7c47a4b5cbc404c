// The tools of a picture: what they are called, their keys, and a bar with a button for each.
const TOOLS = ["pan", "window", "measure"]
const NAMES = {
  pan: ["Move", "P"],
  window: ["Window: drag right for less contrast, down for darker", "W"],
  measure: ["Measure a distance", "M"],
  loupe: ["Loupe", "L"],
  outlines: ["Lesion outlines", "O"],
  invert: ["Invert", "I"],
  rotate: ["Rotate clockwise", "T"],
  horizontal: ["Flip left to right", "H"],
  vertical: ["Flip top to bottom", "V"],
  fit: ["Whole picture", "0"],
  actual: ["100 %: each pixel of the image is one of the screen", "1"],
  reset: ["Reset", "R"],
  linked: ["Move the pictures together", "K"],
  full: ["Full screen", "F"],
}
const BY_KEY = Object.fromEntries([...Object.entries(NAMES).map(([name, [, key]]) => [key.toLowerCase(), name]), ["d", "measure"]])

// A bar of buttons in groups of names; `press(name)` is called. Returns the bar and the buttons by name.
function toolbar(groups, press) {
  const buttons = Object.fromEntries(
    groups.flat().map((name) => {
      const [words, key] = NAMES[name]
      const about = { type: "button", title: `${words} (${key})`, ariaLabel: `${words.split(":")[0]} (${key})` }
      const button = element("button", about, name === "actual" ? "1:1" : icon(name))
      button.onclick = () => press(name)
      return [name, button]
    }),
  )
  const gap = () => element("span", { className: "gap" })
  const bar = element("div", { className: "tools" }, ...groups.flatMap((names) => [...names.map((name) => buttons[name]), gap()]))
  bar.setAttribute("role", "toolbar")
  bar.setAttribute("aria-label", "Image tools")
  return [bar, buttons]
}

const fullScreen = (root) =>
  root.matches(":fullscreen") ? document.exitFullscreen() : root.requestFullscreen?.().catch(() => undefined)
