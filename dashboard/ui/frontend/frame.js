// The Gradio tab in a frame of its own: at an address below the page's own one, in the page's theme, as high as it is where it may grow.
export default function (component) {
  const { data, parentElement } = component
  const root = parentElement.querySelector(".frame")
  let frame = root.querySelector("iframe")
  if (!frame) {
    frame = document.createElement("iframe")
    frame.title = data.title
    root.append(frame)
    frame.onload = () => {
      dress(root, frame)
      if (data.grows) grow(frame, data.height)
    }
    // Streamlit changes the theme in variables; a transition of a colour that follows one shows when.
    root.ontransitionrun = () => requestAnimationFrame(() => setTimeout(() => dress(root, frame), 50))
  }
  if (frame._query === data.query) return
  frame._query = data.query
  frame.style.height = data.height + "px"
  frame.src = here(`gradio/?${data.query}&__theme=${isDark(root) ? "dark" : "light"}`)
}

function isDark(root) {
  const probe = document.createElement("canvas").getContext("2d")
  probe.fillStyle = getComputedStyle(root).getPropertyValue("--st-background-color").trim() || "#fff"
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(probe.fillStyle.slice(at, at + 2), 16))
  return 0.3 * red + 0.6 * green + 0.1 * blue < 128
}

function dress(root, frame) {
  frame.contentDocument?.body?.classList.toggle("dark", isDark(root))
}

// Gradio draws itself late and changes its height with each result.
function grow(frame, least) {
  const watch = (tries) => {
    const inside = frame.contentDocument?.querySelector(".gradio-container main")
    if (!inside) return void (tries && setTimeout(() => watch(tries - 1), 200))
    const fit = () => (frame.style.height = Math.max(least, Math.ceil(inside.getBoundingClientRect().height) + 8) + "px")
    new frame.contentWindow.ResizeObserver(fit).observe(inside)
    fit()
  }
  watch(150)
}
