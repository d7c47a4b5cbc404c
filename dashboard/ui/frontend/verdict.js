// Pictures of the Test image tab: opacity, on and off, full screen; and the choice of an example. What was chosen stays for
// the next image. Runs once in each gr.HTML component: `element`, `trigger` and `watch` are Gradio's.
const look = (window._mammolabLook ??= { opacity: "0.7", map: true, lesions: true })
const dress = () => {
  element.style.setProperty("--opacity", look.map ? look.opacity : 0)
  element.style.setProperty("--lesions", look.lesions ? "visible" : "hidden")
  for (const input of element.querySelectorAll("[name=lesions]")) input.checked = look.lesions
  for (const input of element.querySelectorAll("[name=opacity]")) input.value = look.opacity
  for (const input of element.querySelectorAll("[name=map]")) input.checked = look.map
}
element.addEventListener("input", ({ target }) => {
  if (target.name === "opacity") look.opacity = target.value
  if (target.name === "map" || target.name === "lesions") look[target.name] = target.checked
  dress()
})
element.addEventListener("click", ({ target }) => {
  const full = target.closest(".full")
  if (full) document.fullscreenElement ? document.exitFullscreen() : full.parentElement.requestFullscreen()
  const example = target.closest(".examples button")
  if (!example) return
  for (const each of element.querySelectorAll(".examples button")) each.setAttribute("aria-pressed", each === example)
  trigger("select", { index: Number(example.dataset.index), value: "" })
})
watch("value", dress)
dress()
