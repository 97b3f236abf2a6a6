/**
 * The board's rows: pages as they are scrolled to, and live changes that never move a row.
 * A row that changed is replaced where it stands; a new one waits in the pill until asked for.
 */

import { computed, shallowRef, triggerRef } from "vue"
import { asProblem, type Problem } from "@/api/http"
import { board } from "@/api/office"
import type { Row } from "@/api/types"
import type { Filter } from "./filters"
import { failed, ready, type Remote } from "@/shared/remote"

export const PAGE_ROWS = 50

export interface Rows {
  items: Row[]
  next: string | null
}

export function useBoardRows(filter: () => Filter, belongs: (row: Row) => boolean) {
  const remote = shallowRef<Remote<Rows>>({ face: "loading" })
  const fresh = shallowRef<ReadonlyMap<string, Row>>(new Map())
  const more = shallowRef<"idle" | "loading" | Problem>("idle")
  let place = new Map<string, number>()
  let asking: AbortController | null = null

  const items = computed(() => (remote.value.face === "ready" ? remote.value.value.items : []))
  const hasMore = computed(() => remote.value.face === "ready" && remote.value.value.next !== null)

  async function load(keep = false): Promise<void> {
    asking?.abort()
    const mine = (asking = new AbortController())
    if (!keep) remote.value = { face: "loading" }
    try {
      const page = await board.page({ ...filter(), limit: PAGE_ROWS }, { signal: mine.signal })
      if (asking === mine) show(page.items, page.next, page.as_of)
    } catch (error) {
      if (asking === mine) remote.value = failed(remote.value, asProblem(error))
    }
  }

  function show(rows: Row[], next: string | null, asOf?: string): void {
    place = new Map(rows.map((row, index) => [row.order_no, index]))
    remote.value = ready({ items: [...rows], next }, asOf)
    fresh.value = new Map()
    more.value = "idle"
  }

  async function loadMore(): Promise<void> {
    const before = remote.value
    if (before.face !== "ready" || !before.value.next || more.value === "loading") return
    more.value = "loading"
    try {
      const page = await board.page({ ...filter(), after: before.value.next, limit: PAGE_ROWS })
      // Another question was put meanwhile: this answer belongs to nothing on the screen.
      if (remote.value.face !== "ready" || remote.value.value !== before.value) return
      append(before.value, page.items, page.next)
      more.value = "idle"
    } catch (error) {
      more.value = asProblem(error)
    }
  }

  /** Grows in place: copying 100,000 rows for every page would be felt. */
  function append(rows: Rows, added: Row[], next: string | null): void {
    for (const row of added) {
      if (place.has(row.order_no)) continue
      place.set(row.order_no, rows.items.length)
      rows.items.push(row)
    }
    rows.next = next
    triggerRef(remote)
  }

  function hear(row: Row): void {
    const index = place.get(row.order_no)
    const now = remote.value
    if (now.face !== "ready") return
    if (index !== undefined) replace(now.value, index, row)
    else if (belongs(row)) fresh.value = new Map(fresh.value).set(row.order_no, row)
    else if (fresh.value.has(row.order_no)) fresh.value = without(fresh.value, row.order_no)
  }

  function replace(rows: Rows, index: number, row: Row): void {
    const shown = rows.items[index]
    if (shown && shown.version > row.version) return // An older word, overtaken on its way.
    // What I may do is not said to everyone on the live line; the shown rights hold till then.
    rows.items[index] = row.can ? row : { ...row, ...(shown?.stage === row.stage && shown.can ? { can: shown.can } : {}) }
    triggerRef(remote)
  }

  function lost(problem: Problem): void {
    remote.value = failed(remote.value, problem)
  }

  function upAgain(asOf: string | null): void {
    const now = remote.value
    if (now.face === "ready" && (now.stale || asOf)) {
      remote.value = { ...now, stale: null, asOf: asOf ? new Date(asOf) : now.asOf }
    }
  }

  return { remote, items, fresh, more, hasMore, load, loadMore, hear, lost, upAgain }
}

function without(rows: ReadonlyMap<string, Row>, no: string): Map<string, Row> {
  const rest = new Map(rows)
  rest.delete(no)
  return rest
}
