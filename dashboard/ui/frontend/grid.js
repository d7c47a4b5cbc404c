// Several images under the recipe of the sliders. Asks only once the main picture is there, and never while a slider moves.
export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".grid")
  const state = (root._grid ??= { urls: [] })
  const shape = JSON.stringify([data.url, data.tiles])
  if (state.shape !== shape) {
    Object.assign(state, { shape, url: data.url, shown: "" })
    root.replaceChildren(...data.tiles.map(tile))
  }
  function tile(each) {
    const button = document.createElement("button")
    button.className = "tile"
    button.title = `${each.title}: open it above`
    const picture = document.createElement("div")
    picture.className = "frame"
    const image = document.createElement("img")
    image.alt = each.title
    image.hidden = true
    const note = document.createElement("span")
    note.className = "missing"
    note.textContent = "reading"
    picture.append(image, note)
    const label = document.createElement("span")
    label.className = "label"
    label.textContent = each.label
    label.style.setProperty("--color", each.color)
    const caption = document.createElement("span")
    caption.className = "caption"
    caption.textContent = each.caption
    const line = document.createElement("div")
    line.className = "line"
    line.append(label, caption)
    button.append(picture, line)
    button.onclick = () => setTriggerValue("picked", each.id)
    return button
  }
  state.draw ??= coalesce(async (recipe) => {
    const { url } = state
    try {
      const [header, blobs] = await request(url + "grid", { recipe: JSON.stringify(recipe) })
      if (url !== state.url) return
      const tiles = [...root.children]
      await swap(
        tiles.map((each) => each.querySelector("img")),
        blobs,
        () => url === state.url,
      )
      tiles.forEach((each, index) => {
        const note = each.querySelector(".missing")
        note.textContent = header.states[index]
        note.hidden = !header.states[index]
        each.querySelector("img").hidden = Boolean(header.states[index])
      })
      root.dataset.recipe = header.recipe
      root.dataset.waiting = header.waiting
      if (header.waiting) later(state.recipe, 500)
    } catch (error) {
      if (error.lost && Date.now() - (state.reopened ?? 0) > 5000) {
        Object.assign(state, { reopened: Date.now(), shown: "" })
        return setTriggerValue("lost", String(state.reopened))
      }
      for (const note of root.querySelectorAll(".missing")) Object.assign(note, { textContent: error.message, hidden: false })
    }
  })
  const later = (recipe, wait) => {
    state.recipe = recipe
    clearTimeout(state.timer)
    state.timer = setTimeout(() => root.isConnected && state.draw(state.recipe), wait)
  }
  if (!bus.dirty && state.shown !== JSON.stringify(data.recipe)) {
    state.shown = JSON.stringify(data.recipe)
    later(data.recipe, 300)
  }
  on(root, "values", () => bus.dirty && clearTimeout(state.timer))
  on(root, "result", ({ full, current }) => current && later(full, 450))
}
