// What is around a picture: the room above it, the list of its keys, a scale bar.

// Set --above to the height of what is above `root` on its page, for pictures that end with the window. It differs with
// the warnings, and some of it is drawn later.
function measureAbove(root) {
  const measure = () => {
    const scrolled = document.querySelector("[data-testid=stMain]")?.scrollTop ?? 0
    root.style.setProperty("--above", Math.round(root.getBoundingClientRect().top + scrolled) + "px")
  }
  root._above ??= new ResizeObserver(measure)
  root._above.observe(document.body)
  setTimeout(measure, 300)
  measure()
}

// A button with "?" in the picture's corner that lists its keys ([keys, what they do] each); "?" and Escape on the picture
// open and close the list.
function keyHelp(root, rows) {
  if (root.querySelector(".help")) return
  const about = { type: "button", textContent: "?", title: "Keys and mouse (?)", ariaLabel: "Keys and mouse" }
  const button = element("button", about)
  const cells = rows.flatMap(([keys, what]) => [element("dt", { textContent: keys }), element("dd", { textContent: what })])
  const list = element("dl", { hidden: true }, ...cells)
  const open = (on) => {
    list.hidden = !on
    button.setAttribute("aria-expanded", String(on))
  }
  open(false)
  button.onclick = () => open(list.hidden)
  root.addEventListener("keydown", (event) => {
    if (event.key === "?") open(list.hidden)
    else if (event.key === "Escape") open(false)
  })
  root.append(element("div", { className: "help" }, button, list))
}

// The longest round length in mm whose bar is at most `most` screen pixels long, where a mm takes `scale` of them.
const barLength = (scale, most = 140) => [100, 50, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1].find((length) => length * scale <= most)

// A bar of a round length in mm (no bar where `spacing`, the mm of a pixel, is not known), and how large a pixel is on the screen.
function drawScale(ruler, scale, spacing) {
  const mm = spacing && barLength(scale / spacing)
  ruler.querySelector("i").style.width = mm ? (mm / spacing) * scale + "px" : "0"
  ruler.querySelector(".mm").textContent = mm ? `${mm} mm` : ""
  ruler.querySelector(".percent").textContent = `${Math.round(scale * 100)} %`
}
