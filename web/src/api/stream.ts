/** The office's live line, one for all screens: rows as they change, counts, and whether it is up. */

import { board } from "./office"
import type { Counts, Row } from "./types"

export interface StreamEars {
  row?(row: Row): void
  counts?(counts: Counts): void
  refetch?(): void
  up?(): void
  down?(): void
}

const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 30_000

const everybody = new Set<StreamEars>()
let source: EventSource | null = null
let timer: ReturnType<typeof setTimeout> | undefined
let pause = FIRST_PAUSE_MS
let lost = false

/** Listens until the returned function is called; reconnects with growing pauses. */
export function listen(ears: StreamEars): () => void {
  everybody.add(ears)
  if (lost) ears.down?.()
  if (everybody.size === 1) connect()
  return () => {
    if (everybody.delete(ears) && !everybody.size) hangUp()
  }
}

/** Tries now and not only when the pause is over. */
export function tryAgain(): void {
  if (lost && everybody.size) connect()
}

function connect(): void {
  clearTimeout(timer)
  source?.close()
  source = new EventSource(board.streamPath, { withCredentials: true })
  source.addEventListener("hello", hello)
  source.addEventListener("row", (event) => tell<Row>(event, (ears, row) => ears.row?.(row)))
  source.addEventListener("counts", (event) => tell<Counts>(event, (ears, counts) => ears.counts?.(counts)))
  source.addEventListener("refetch", () => everybody.forEach((ears) => ears.refetch?.()))
  source.onerror = wait
}

function hello(): void {
  const before = lost
  lost = false
  pause = FIRST_PAUSE_MS
  everybody.forEach((ears) => ears.up?.())
  // Whatever changed while the line was down was not heard.
  if (before) everybody.forEach((ears) => ears.refetch?.())
}

function wait(): void {
  source?.close()
  lost = true
  everybody.forEach((ears) => ears.down?.())
  clearTimeout(timer)
  timer = setTimeout(connect, pause)
  pause = Math.min(pause * 2, LONGEST_PAUSE_MS)
}

function hangUp(): void {
  clearTimeout(timer)
  source?.close()
  source = null
  lost = false
  pause = FIRST_PAUSE_MS
}

function tell<T>(event: MessageEvent, told: (ears: StreamEars, value: T) => void): void {
  const value = read<T>(event)
  if (value) everybody.forEach((ears) => told(ears, value))
}

function read<T>(event: MessageEvent): T | null {
  try {
    return JSON.parse(event.data as string) as T
  } catch {
    return null // A torn line is followed by a whole one.
  }
}
