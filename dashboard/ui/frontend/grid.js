// Several images under the recipe of the sliders. Asks only once the main picture is there, and never while a slider moves.
export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".grid")
  const state = (root._grid ??= { urls: [] })
  const shape = JSON.stringify([data.url, data.tiles])
  if (state.shape !== shape) {
    Object.assign(state, { shape, url: data.url, shown: "" })
    const tiles = data.tiles.map((each) => {
      const made = tile("button", { ...each, alt: each.title })
      made.title = `${each.title}: open it above`
      made.onclick = () => setTriggerValue("picked", each.id)
      fillTile(made, "reading")
      return made
    })
    root.replaceChildren(...tiles)
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
      tiles.forEach((each, index) => fillTile(each, header.states[index]))
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
