// Pictures of the Test image tab: opacity, on and off, hidden while a button is held, before and after, full screen; the choice
// of an example; and a file that comes as a link is saved at once. What was chosen stays for the next image, and holds for all
// pictures beside each other. Runs once in each gr.HTML component: `element`, `trigger` and `watch` are Gradio's.
const look = (window._mammolabLook ??= { opacity: "0.7", map: true, lesions: true, swipe: false, split: "50" })
let held = false
const dress = () => {
  element.style.setProperty("--opacity", look.map && !held ? look.opacity : 0)
  element.style.setProperty("--lesions", look.lesions ? "visible" : "hidden")
  element.style.setProperty("--swipe", look.swipe ? "block" : "none")
  element.style.setProperty("--split", look.swipe ? look.split + "%" : "0%")
  for (const name of ["map", "lesions", "swipe"])
    for (const input of element.querySelectorAll(`[name=${name}]`)) input.checked = look[name]
  for (const name of ["opacity", "split"]) for (const input of element.querySelectorAll(`[name=${name}]`)) input.value = look[name]
}
const hold = (on) => {
  held = on
  dress()
}
element.addEventListener("input", ({ target }) => {
  if (["opacity", "split"].includes(target.name)) look[target.name] = target.value
  if (["map", "lesions", "swipe"].includes(target.name)) look[target.name] = target.checked
  dress()
})
element.addEventListener("pointerdown", ({ target }) => target.closest(".hold") && hold(true))
for (const end of ["pointerup", "pointercancel", "keyup", "focusout"]) element.addEventListener(end, () => held && hold(false))
element.addEventListener("pointerout", ({ target }) => held && target.closest(".hold") && hold(false))
element.addEventListener("keydown", (event) => {
  if (![" ", "Enter"].includes(event.key) || !event.target.closest(".hold")) return
  event.preventDefault()
  hold(true)
})
element.addEventListener("click", ({ target }) => {
  const full = target.closest(".full")
  if (full) document.fullscreenElement ? document.exitFullscreen() : full.parentElement.requestFullscreen()
  const example = target.closest(".examples button")
  if (!example) return
  for (const each of element.querySelectorAll(".examples button")) each.setAttribute("aria-pressed", each === example)
  trigger("select", { index: Number(example.dataset.index), value: "" })
})
watch("value", () => {
  held = false
  dress()
  element.querySelector("a.saved")?.click()
})
dress()
