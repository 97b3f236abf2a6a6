/** What the board asks first, so that it can be asked before the board itself is here. */

import { askEarly } from "@/api/http"
import { board, type BoardQuery } from "@/api/office"
import type { Me, Row } from "@/api/types"
import { filterOf } from "./filters"

export const PAGE_ROWS = 50
const NEXT_SHOWN = 12
const REMEMBERED = "orderkeep.board"

/** An operator's day: what is in hand, what is next, what waits to be packed. */
export const DAY = {
  mine: { claim: "mine", limit: 50 },
  next: { stage: "MANUFACTURING_APPROVED", claim: "free", limit: NEXT_SHOWN },
  done: { stage: "MANUFACTURING_COMPLETED,PACKAGING", limit: 50 },
}

export interface Day {
  mine: Row[]
  next: Row[]
  done: Row[]
  asOf: string | undefined
}

type Query = Record<string, unknown>

export const worksAtTheBench = (me: Me | null) =>
  me?.role === "admin" || (me?.can.includes("work.claim") ?? false)

/** The last choice sticks: an empty address means "where I was". */
export function lastQuery(me: Me | null): Record<string, string> {
  const kept = localStorage.getItem(REMEMBERED)
  if (kept) return JSON.parse(kept) as Record<string, string>
  return { view: worksAtTheBench(me) ? "work" : "table" }
}

export function remember(query: Query): void {
  localStorage.setItem(REMEMBERED, JSON.stringify(query))
}

export const showsWork = (query: Query, me: Me | null) => query.view === "work" && worksAtTheBench(me)

/** Asks for the rows while the scripts that draw them are still coming. */
export function askForFirstRows(me: Me | null): void {
  if (!me) return
  const address = Object.fromEntries(new URLSearchParams(location.search))
  const query = Object.keys(address).length ? address : lastQuery(me)
  const wanted: BoardQuery[] = showsWork(query, me) ? Object.values(DAY) : [tableQuery(query)]
  for (const one of wanted) askEarly(board.pagePath(one))
}

export const tableQuery = (query: object): BoardQuery => ({ ...filterOf(query as Query), limit: PAGE_ROWS })
