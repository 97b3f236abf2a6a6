/** Icons come with the bundle: what is not in it is simply not drawn, and nobody is asked. */
import { addIcon as keep } from "../../node_modules/@iconify/vue/dist/offline.mjs"

export { Icon, addCollection } from "../../node_modules/@iconify/vue/dist/offline.mjs"

const lines = new Map<string, string>()
const drawn = new Map<string, SVGSVGElement>()

/** The kit registers `lucide:gem` and asks for `lucide-gem`. */
export function addIcon(name: string, data: Parameters<typeof keep>[1]): void {
  keep(name, data)
  keep(name.replace(":", "-"), data)
  lines.set(name.replace(":", "-"), data?.body ?? "")
}

export function iconLoaded(): boolean {
  return true
}

/** The strokes of `i-lucide-gem`: parsed once, copied for every further row. */
export function strokesOf(name: string): Node[] {
  const icon = name.replace(/^i-/, "")
  const model = drawn.get(icon) ?? parsed(icon)
  return [...(model.cloneNode(true) as SVGSVGElement).childNodes]
}

function parsed(icon: string): SVGSVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg")
  svg.innerHTML = lines.get(icon) ?? ""
  drawn.set(icon, svg)
  return svg
}
