// Where an address of ours is, as the browser sees it: a proxy may serve the dashboard below a path that the server does not
// know. The page's own scripts were loaded from there.
function here(path) {
  window._mammolabHere ??= (() => {
    for (const script of document.scripts) {
      const at = script.src.lastIndexOf("/static/js/")
      if (at > 0) return script.src.slice(0, at + 1)
    }
    return new URL(".", document.baseURI).href
  })()
  return window._mammolabHere + path
}
