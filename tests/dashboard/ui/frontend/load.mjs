// Load functions of dashboard/ui/frontend/*.js: scripts that share their top level, as the dashboard joins them.
import { readFileSync } from "node:fs"

const FOLDER = new URL("../../../../dashboard/ui/frontend/", import.meta.url)

// `names`: files without .js; `wanted`: functions; `globals`: what of a browser they use.
export function load(names, wanted, globals = {}) {
  const text = names.map((name) => readFileSync(new URL(`${name}.js`, FOLDER), "utf8")).join("\n")
  const body = text.replaceAll("export default function (", "function component(")
  const scope = { window: globals.window ?? {}, ...globals }
  return new Function(...Object.keys(scope), `${body}\nreturn { ${wanted.join(", ")} }`)(...Object.values(scope))
}

// An element as far as the components' logic needs one.
export function element(size = { left: 0, top: 0, width: 400, height: 200 }) {
  const classes = new Set()
  const properties = {}
  return {
    isConnected: true,
    properties,
    style: { setProperty: (name, value) => (properties[name] = value) },
    classList: { toggle: (name, on) => (on ? classes.add(name) : classes.delete(name)), contains: (name) => classes.has(name) },
    getBoundingClientRect: () => size,
    querySelector: () => null,
  }
}
