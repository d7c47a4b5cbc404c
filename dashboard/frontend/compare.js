// Two images of the same geometry under one movable bar (see swipe.js).
export default function (component) {
  const root = component.parentElement.querySelector(".compare")
  const [header, blobs] = unpack(component.data)
  root.style.height = header.height + "px"
  root.classList.toggle("pixelated", Boolean(header.pixelated))
  root.querySelector(".tag.left").textContent = header.labels[0]
  root.querySelector(".tag.right").textContent = header.labels[1]
  const state = swipe(root)
  const serial = ++state.serial
  swap([...root.querySelectorAll(".side img")], blobs, () => serial === state.serial)
  state.draw()
}
