/** Live rows and counts, for as long as the screen that shows them is there. */

import { onScopeDispose, shallowRef } from "vue"
import { asProblem } from "@/api/http"
import { board } from "@/api/office"
import type { Counts, Row } from "@/api/types"
import { useLine } from "@/shared/line"

const COUNTS_EVERY_MS = 30_000

export interface LiveEars {
  row(row: Row): void
  refetch(): void
}

export function useLive(ears: LiveEars) {
  const counts = shallowRef<Counts | null>(null)

  async function ask(): Promise<void> {
    try {
      counts.value = await board.counts()
    } catch (error) {
      asProblem(error) // Old counts stay; the shell says that the line is down.
    }
  }

  useLine({ ...ears, counts: (value) => (counts.value = value) })
  const timer = setInterval(() => void ask(), COUNTS_EVERY_MS)
  onScopeDispose(() => clearInterval(timer))
  void ask()
  return { counts, askCounts: ask }
}
