/** The live line, as screens see it: whether it is up, and how old is what they show. */

import { computed, onScopeDispose, ref, shallowReactive, watchEffect } from "vue"
import { listen, type StreamEars } from "@/api/stream"
import type { Remote } from "./remote"

/** The shell says it for every screen while this is false. */
export const connected = ref(true)

const shown = shallowReactive(new Map<symbol, Date>())
/** How old the oldest of what is on the screen is; null while nothing is. */
export const shownAsOf = computed(() =>
  shown.size ? new Date(Math.min(...[...shown.values()].map((date) => date.getTime()))) : null,
)

/** Listens for as long as the screen is there. */
export function useLine(ears: Pick<StreamEars, "row" | "counts" | "refetch"> = {}): void {
  connected.value = true
  onScopeDispose(
    listen({
      ...ears,
      up: () => (connected.value = true),
      down: () => (connected.value = false),
    }),
  )
}

/** Counts this data among what is on the screen. */
export function useShown(remote: () => Remote<unknown>): void {
  const mine = Symbol("shown")
  watchEffect(() => {
    const now = remote()
    if (now.face === "ready") shown.set(mine, now.asOf)
    else shown.delete(mine)
  })
  onScopeDispose(() => shown.delete(mine))
}
