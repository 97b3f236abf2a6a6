/** One live line for the whole board; whoever shows rows listens while it is on the screen. */

import { onScopeDispose, ref, shallowRef } from "vue"
import { listen } from "@/api/stream"
import { asProblem } from "@/api/http"
import { board } from "@/api/office"
import type { Counts, Row } from "@/api/types"

const COUNTS_EVERY_MS = 30_000

export interface LiveEars {
  row(row: Row): void
  refetch(): void
}

export function useLive(ears: LiveEars) {
  const counts = shallowRef<Counts | null>(null)
  const connected = ref(true)

  async function ask(): Promise<void> {
    try {
      counts.value = await board.counts()
    } catch (error) {
      asProblem(error) // Old counts stay; the list says that the line is down.
    }
  }

  const stop = listen({
    row: ears.row,
    refetch: ears.refetch,
    counts: (value) => (counts.value = value),
    up: () => (connected.value = true),
    down: () => (connected.value = false),
  })
  const timer = setInterval(() => void ask(), COUNTS_EVERY_MS)
  onScopeDispose(() => {
    stop()
    clearInterval(timer)
  })
  void ask()
  return { counts, connected, askCounts: ask }
}
