/** The board's live line: rows as they change, counts, and whether the line is up. */

import { board } from "./office"
import type { Counts, Instant, Row } from "./types"

export interface StreamEars {
  row(row: Row): void
  counts?(counts: Counts): void
  refetch(): void
  up(asOf: Instant | null): void
  down(): void
}

const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 30_000

/** Listens until the returned function is called; reconnects with growing pauses. */
export function listen(ears: StreamEars): () => void {
  let source: EventSource | null = null
  let timer: ReturnType<typeof setTimeout> | undefined
  let pause = FIRST_PAUSE_MS
  let before = false

  const connect = () => {
    source = new EventSource(board.streamPath, { withCredentials: true })
    source.addEventListener("hello", (event) => {
      ears.up(read<{ as_of?: Instant }>(event)?.as_of ?? null)
      // Whatever changed while the line was down was not heard.
      if (before) ears.refetch()
      before = true
      pause = FIRST_PAUSE_MS
    })
    source.addEventListener("row", (event) => tell(event, ears.row))
    source.addEventListener("counts", (event) => tell(event, ears.counts))
    source.addEventListener("refetch", () => ears.refetch())
    source.onerror = () => {
      source?.close()
      ears.down()
      timer = setTimeout(connect, pause)
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS)
    }
  }
  connect()
  return () => {
    clearTimeout(timer)
    source?.close()
  }
}

function tell<T>(event: MessageEvent, ear: ((value: T) => void) | undefined): void {
  const value = read<T>(event)
  if (value && ear) ear(value)
}

function read<T>(event: MessageEvent): T | null {
  try {
    return JSON.parse(event.data as string) as T
  } catch {
    return null // A torn line is followed by a whole one.
  }
}
