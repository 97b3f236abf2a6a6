/**
 * An icon out of the bundle. The kit's own costs more to set up than the rest of a row.
 * It always stands beside a word or in a button with a name, so it is hidden from who listens.
 */

import { h, type FunctionalComponent, type VNode } from "vue"
import { strokesOf } from "@/shared/icons-offline"

const draw = (name: string) => (node: VNode) => (node.el as Element).replaceChildren(...strokesOf(name))

export const AppIcon: FunctionalComponent<{ name: string }> = ({ name }) =>
  h("svg", {
    key: name, // Another name is another drawing.
    viewBox: "0 0 24 24",
    width: "1em",
    height: "1em",
    "aria-hidden": "true",
    onVnodeBeforeMount: draw(name),
  })
AppIcon.props = ["name"]
