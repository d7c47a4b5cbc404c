// Arrow keys turn the slides, Escape ends; and how high the window is, so that a slide's picture fills it.
export default function (component) {
  const { data, parentElement, setTriggerValue, setStateValue } = component
  const state = (window._mammolabKeys ??= {})
  state.turn = (name) => setTriggerValue("pressed", name)
  state.measure = () => {
    const height = Math.round(window.innerHeight / 20) * 20
    if (state.known !== height) setStateValue("height", (state.known = height))
  }
  if (!state.listening) {
    state.listening = true
    const names = { ArrowRight: "next", PageDown: "next", ArrowLeft: "previous", PageUp: "previous", Home: "first", Escape: "end" }
    document.addEventListener("keydown", (event) => {
      const typing = event.target.closest?.("input, textarea, select, [role=slider], [contenteditable]")
      const name = names[event.key]
      if (!name || typing || event.ctrlKey || event.altKey || event.metaKey || !state.root?.isConnected) return
      event.preventDefault()
      state.turn(name)
    })
    window.addEventListener("resize", () => state.root?.isConnected && state.measure())
  }
  state.root = parentElement // gone with its page: then the keys mean nothing
  state.known = data?.height
  state.measure()
}
