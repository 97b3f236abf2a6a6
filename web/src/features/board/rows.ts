/**
 * The board's rows: pages as they are scrolled to, and live changes that never move a row.
 * A row that changed is replaced where it stands; a new one waits in the pill until asked for.
 */

import { computed, shallowRef } from "vue"
import { asProblem, type Problem } from "@/api/http"
import { board } from "@/api/office"
import type { Row } from "@/api/types"
import type { Filter } from "./filters"
import { tableQuery } from "./first"
import { failed, ready, type Remote } from "@/shared/remote"

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
  let question = 0

  const items = computed(() => (remote.value.face === "ready" ? remote.value.value.items : []))
  const hasMore = computed(() => remote.value.face === "ready" && remote.value.value.next !== null)

  async function load(keep = false): Promise<void> {
    asking?.abort()
    const mine = (asking = new AbortController())
    question += 1
    if (!keep) remote.value = { face: "loading" }
    try {
      const page = await board.page(tableQuery(filter()), { signal: mine.signal })
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
    const now = remote.value
    if (now.face !== "ready" || !now.value.next || more.value === "loading") return
    const mine = question
    more.value = "loading"
    try {
      const page = await board.page({ ...tableQuery(filter()), after: now.value.next })
      // Another question was put meanwhile: this answer belongs to nothing on the screen.
      if (question !== mine) return
      append(page.items, page.next)
      more.value = "idle"
    } catch (error) {
      if (question === mine) more.value = asProblem(error)
    }
  }

  function append(added: Row[], next: string | null): void {
    const unseen = added.filter((row) => !place.has(row.order_no))
    const rows = [...items.value, ...unseen]
    unseen.forEach((row, index) => place.set(row.order_no, rows.length - unseen.length + index))
    put({ items: rows, next })
  }

  function put(value: Rows): void {
    if (remote.value.face === "ready") remote.value = { ...remote.value, value }
  }

  function hear(row: Row): void {
    const index = place.get(row.order_no)
    if (remote.value.face !== "ready") return
    if (index !== undefined) replace(index, row)
    else if (belongs(row)) fresh.value = new Map(fresh.value).set(row.order_no, row)
    else if (fresh.value.has(row.order_no)) fresh.value = without(fresh.value, row.order_no)
  }

  function replace(index: number, row: Row): void {
    const now = remote.value
    if (now.face !== "ready") return
    const shown = now.value.items[index]
    if (shown && shown.version > row.version) return // An older word, overtaken on its way.
    put({ ...now.value, items: now.value.items.with(index, row) })
  }

  return { remote, items, fresh, more, hasMore, load, loadMore, hear }
}

function without(rows: ReadonlyMap<string, Row>, no: string): Map<string, Row> {
  const rest = new Map(rows)
  rest.delete(no)
  return rest
}
