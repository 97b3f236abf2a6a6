/** How foreign systems are doing: asked once for the whole office, shown in its shell and on its page. */

import { computed, onScopeDispose } from "vue"
import { destinations } from "@/api/office"
import type { Destination } from "@/api/types"
import { useRemote } from "./remote"

const EVERY_MS = 15_000

/** What keeps orders from moving, so that whoever looks at one has to know. */
export const holdsBack = (one: Destination): boolean =>
  one.condition !== "open" && one.condition !== "ramping"

export function useDestinations() {
  const { remote, refresh } = useRemote(destinations.all, (answer) => answer.at)
  const again = setInterval(() => void refresh(), EVERY_MS)
  onScopeDispose(() => clearInterval(again))
  const held = computed(() =>
    remote.value.face === "ready" ? remote.value.value.items.filter(holdsBack) : [],
  )
  return { remote, refresh, held }
}
