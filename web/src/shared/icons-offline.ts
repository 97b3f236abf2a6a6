/** Icons come with the bundle: what is not in it is simply not drawn, and nobody is asked. */
import { addIcon as keep } from "../../node_modules/@iconify/vue/dist/offline.mjs"

export { Icon, addCollection } from "../../node_modules/@iconify/vue/dist/offline.mjs"

/** The kit registers `lucide:gem` and asks for `lucide-gem`. */
export function addIcon(name: string, data: Parameters<typeof keep>[1]): void {
  keep(name, data)
  keep(name.replace(":", "-"), data)
}

export function iconLoaded(): boolean {
  return true
}
