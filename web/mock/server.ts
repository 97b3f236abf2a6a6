/**
 * A stand-in for the office, for looking at pages while writing them. Development only.
 * `?scenario=filled|loading|empty|stale|failed` and `?role=seller` choose what it plays.
 */

import type { IncomingMessage, ServerResponse } from "node:http"
import type { Connect, Plugin } from "vite"
import type { Row } from "../src/api/types"
import { aFeed, anApproval, anOrder, anOrderPage } from "./data"

const COUNT = Number(process.env.MOCK_ORDERS ?? 100_000)
const RIGHTS: Record<string, string[]> = {
  operator: ["work.claim"],
  head: ["work.claim"],
  seller: ["order.approve", "order.create"],
  support: ["contact.view"],
  admin: ["work.claim", "people.manage"],
}
const count = (n: number) => ({ n, more: n >= 1000 })
const changed = new Map<string, Row>()
const rowAt = (n: number) => changed.get(anOrder(n).order_no) ?? anOrder(n)
const rowOf = (no: string) => changed.get(no) ?? anOrder(Number(no.slice(3)) - 400)

interface Asked {
  url: URL
  method: string
  scenario: string
  role: string
  locale: string
}
type Answer = unknown

function board({ url }: Asked): Answer {
  const wanted = (name: string) => url.searchParams.get(name)?.split(",")
  const [stages, risks, claim] = [wanted("stage"), wanted("risk"), url.searchParams.get("claim")]
  const limit = Number(url.searchParams.get("limit") ?? 50)
  const items: Row[] = []
  let n = Number(url.searchParams.get("after") ?? 0)
  for (; n < COUNT && items.length < limit; n++) {
    const row = rowAt(n)
    if (stages && !stages.includes(row.stage)) continue
    if (risks && !risks.includes(row.risk)) continue
    if (claim === "mine" && row.claim?.operator !== "anna") continue
    if (claim === "free" && row.claim) continue
    if (claim === "mine" && n > 60) break
    items.push(row)
  }
  return {
    items,
    next: n < COUNT && items.length === limit ? String(n) : null,
    as_of: new Date().toISOString(),
    version: 1,
  }
}

function answer(asked: Asked): Answer {
  const path = asked.url.pathname.replace("/office/v1", "")
  const [, first, no = "", last = ""] = path.split("/")
  if (path === "/me" || path === "/session")
    return {
      id: "1",
      login: "anna",
      name: "Анна Петрова",
      role: asked.role,
      locale: asked.locale,
      can: RIGHTS[asked.role],
      mes: "floor",
      board_read_only: false,
      time: new Date().toISOString(),
    }
  if (path === "/board/counts")
    return {
      as_of: new Date().toISOString(),
      stages: { MANUFACTURING_APPROVED: count(1000) },
      claimable: count(214),
      mine: count(3),
      held: count(12),
      at_risk: count(41),
      late: count(7),
      needs_person: count(5),
      approval: count(9),
    }
  if (path === "/board/take-next")
    return {
      order_no: "OK-000402",
      row: {
        ...anOrder(0),
        order_no: "OK-000402",
        claim: {
          operator: "anna",
          operator_name: "Анна Петрова",
          until: new Date(Date.now() + 4 * 3_600_000).toISOString(),
        },
        can: ["start", "release"],
      },
      why: [{ code: "late" }, { code: "waiting", days: 9 }],
    }
  if (path === "/views")
    return { items: [{ id: "v1", name: "Платина, срочное", query: "risk=late" }], next: null }
  if (path === "/operators")
    return { items: [{ login: "ivan", name: "Иван Соколов", in_work: { n: 2 } }], next: null }
  if (path === "/catalogue")
    return {
      book_version: "example",
      label: "example",
      currency: "RUB",
      materials: [{ code: "au585_yellow", title: { ru: "Золото 585, жёлтое", en: "Gold 585, yellow" } }],
      skus: [{ sku: "CHAIN-45", title: { ru: "Цепь 45 см", en: "Chain 45 cm" }, price: "12400.00" }],
    }
  if (path === "/people")
    return {
      items: [
        { id: "1", login: "anna", name: "Анна Петрова", role: "operator" },
        { id: "2", login: "ivan", name: "Иван Соколов", role: "head", disabled_at: new Date().toISOString() },
      ],
    }
  if (path.endsWith("/keys")) return { key: "ok_live_5tB2hJ8sXw0vQ1nRk3LcYd7Zp9Gm4A6e" }
  if (path === "/partners")
    return {
      items: [
        {
          id: "p1",
          name: "Ювелирный дом «Александровский»",
          rate: "100/min",
          auto_approve_below: "15000.00",
          keys: [{ id: "k1", prefix: "ok_live_5tB2", created_at: new Date().toISOString() }],
        },
      ],
    }
  if (path === "/balance")
    return {
      at: new Date().toISOString(),
      accepted: 1204,
      cancelled: 31,
      at_mes: 1020,
      uncertain: 2,
      quarantined: 1,
      waiting: 12,
      in_flight: 138,
      received_not_yet: 0,
      not_understood: 0,
      drafts: 3,
      differences: [{ order_no: "OK-000427", what: "it is at the MES twice" }],
    }
  if (path === "/approvals")
    return {
      items: [2, 11, 20, 29, 38].map((n, index) => anApproval(rowAt(n), index)),
      next: null,
      as_of: new Date().toISOString(),
    }
  if (path === "/search")
    return {
      items: [401, 402].map((n) => ({
        kind: "order",
        order_no: `OK-000${n}`,
        why: "order_no",
        row: anOrder(n - 400),
      })),
    }
  if (first === "board") return board(asked)
  if (first === "orders" && last === "feed") return { items: aFeed(), next: null }
  if (first === "orders" && asked.method === "GET") return anOrderPage(rowOf(no))
  return { order_no: no || "OK-000401", version: 9, stage: "MANUFACTURING_STARTED", pending: false }
}

const EMPTY = /\/(board|approvals|search|people|partners|views|feed)$/
const OPEN = /\/(me|session)$/

function respond(asked: Asked, response: ServerResponse): void {
  const path = asked.url.pathname
  if (path.endsWith("/stream")) return stream(asked, response)
  if (asked.scenario === "loading" && !OPEN.test(path)) return
  if (asked.scenario === "failed" && !OPEN.test(path))
    return send(response, 503, { type: "/problems/store-busy", title: "Store busy", status: 503 })
  if (asked.scenario === "empty" && EMPTY.test(path))
    return send(response, 200, { items: [], next: null, as_of: new Date().toISOString() })
  send(response, 200, answer(asked))
}

function stream(asked: Asked, response: ServerResponse): void {
  if (asked.scenario === "stale") return send(response, 503, {})
  response.writeHead(200, { "content-type": "text/event-stream" })
  response.write(`event: hello\ndata: ${JSON.stringify({ as_of: new Date().toISOString(), version: 1 })}\n\n`)
  const timer = setInterval(() => {
    const row = { ...anOrder(Math.floor(Math.random() * 5)), version: 99 }
    response.write(`event: row\ndata: ${JSON.stringify(row)}\n\n`)
    response.write(
      `event: row\ndata: ${JSON.stringify({ ...anOrder(3), order_no: `OK-9${Math.floor(Math.random() * 89999) + 10000}`, claim: null })}\n\n`,
    )
  }, 1_500)
  response.on("close", () => clearInterval(timer))
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, {
    "content-type": status < 300 ? "application/json" : "application/problem+json",
  })
  response.end(JSON.stringify(body))
}

const cookie = (request: IncomingMessage, name: string) =>
  new RegExp(`${name}=([^;]+)`).exec(request.headers.cookie ?? "")?.[1]

const play: Connect.NextHandleFunction = (request, response, next) => {
  const url = new URL(request.url ?? "/", "http://mock")
  if (url.pathname.startsWith("/office/")) {
    const asked = {
      url,
      method: request.method ?? "GET",
      scenario: cookie(request, "scenario") ?? "filled",
      role: cookie(request, "role") ?? "operator",
      locale: cookie(request, "locale") ?? "ru",
    }
    return respond(asked, response)
  }
  for (const name of ["scenario", "role", "locale"]) {
    const value = url.searchParams.get(name)
    if (value && /^[a-z]+$/.test(value)) response.appendHeader("set-cookie", `${name}=${value}; Path=/`)
  }
  next()
}

/** For `vite` and `vite preview` alike: the second shows what is really built. */
export function mockOffice(): Plugin {
  return {
    name: "orderkeep:mock-office",
    configureServer: (server) => void server.middlewares.use(play),
    configurePreviewServer: (server) => void server.middlewares.use(play),
  }
}
