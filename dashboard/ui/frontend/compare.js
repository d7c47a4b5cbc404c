// Two images of the same geometry under one movable bar (see swipe.js).
export default function (component) {
  const root = component.parentElement.querySelector(".compare")
  const [header, blobs] = unpack(component.data)
  root.style.height = header.height + "px"
  const [left, right] = header.labels
  root.querySelector(".tag.left").textContent = left
  root.querySelector(".tag.right").textContent = right
  root.tabIndex = 0
  root.setAttribute("role", "group")
  root.setAttribute("aria-label", `${left} and ${right}: plus and minus zoom, arrow keys move, space shows ${left}`)
  const images = [...root.querySelectorAll(".side img")]
  images.forEach((image, index) => (image.alt = header.labels[index]))
  const state = swipe(root, { home: header.bar })
  keyHelp(root, [["drag the bar", "compare"], ["space (hold)", left], ...KEYS.filter(([keys]) => keys !== "1")])
  const serial = ++state.serial
  swap(images, blobs, () => serial === state.serial)
  state.draw()
}
