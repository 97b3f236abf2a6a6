/** A small office in memory: what a screen asks is answered, what a person does is remembered. */

import { render } from "@testing-library/vue"
import { vi } from "vitest"
import { defineComponent, h } from "vue"
import { createMemoryHistory, createRouter } from "vue-router"
import ui from "@nuxt/ui/vue-plugin"
import UApp from "@nuxt/ui/components/App.vue"
import type { Component } from "vue"
import type { Me, Row } from "@/api/types"
import ActionDialog from "@/features/order/ActionDialog.vue"
import LineBar from "@/shared/LineBar.vue"
import { i18n, speak } from "@/shared/i18n"
import { forget, whoami } from "@/shared/session"
import { handleKey } from "@/shared/shortcuts"

export type Handler = (request: {
  path: string
  query: URLSearchParams
  method: string
  body: Record<string, unknown>
}) => unknown

export class Refusal {
  constructor(
    readonly status: number,
    readonly body: Record<string, unknown>,
  ) {}
}

export const NOON = "2026-11-23T12:00:00Z"

export function aPerson(change: Partial<Me> = {}): Me {
  return {
    id: "1",
    login: "anna",
    name: "Анна Петрова",
    role: "operator",
    locale: "ru",
    can: ["work.claim"],
    mes: "floor",
    board_read_only: false,
    time: new Date().toISOString(),
    ...change,
  }
}

export function aRow(change: Partial<Row> = {}): Row {
  return {
    order_no: "OK-000427",
    client_ref: null,
    channel: "api",
    partner: null,
    stage: "MANUFACTURING_APPROVED",
    stage_since: NOON,
    created_at: NOON,
    changed_at: NOON,
    priority: 5,
    due_at: null,
    due_owner: "operator",
    risk: "ok",
    promise_at: null,
    summary: "au585_yellow × 2",
    pieces: 2,
    price: { state: "ready", total: { amount: "129.50", currency: "RUB" } },
    hold: null,
    claim: null,
    mes_state: "applied",
    needs: null,
    version: 6,
    can: ["claim", "hold"],
    ...change,
  }
}

export interface Line {
  say(event: string, data: unknown): void
  drop(): void
}
let lines: FakeSource[] = []

class FakeSource {
  onerror: (() => void) | null = null
  private ears = new Map<string, ((event: { data: string }) => void)[]>()
  constructor() {
    lines.push(this)
  }
  addEventListener(name: string, ear: (event: { data: string }) => void): void {
    this.ears.set(name, [...(this.ears.get(name) ?? []), ear])
  }
  close(): void {
    lines = lines.filter((line) => line !== this)
  }
  say(name: string, data: unknown): void {
    for (const ear of this.ears.get(name) ?? []) ear({ data: JSON.stringify(data) })
  }
}

export const line: Line = {
  say: (event, data) => lines.forEach((source) => source.say(event, data)),
  drop: () => [...lines].forEach((source) => source.onerror?.()),
}

export interface Office {
  calls: { method: string; path: string; body: Record<string, unknown> }[]
  answers: Record<string, Handler>
}

export function openOffice(answers: Record<string, Handler>, me: Me | null = aPerson()): Office {
  const office: Office = {
    calls: [],
    answers: {
      "GET /me": () => me ?? new Refusal(401, {}),
      "GET /views": () => ({ items: [] }),
      "GET /board/counts": () => ({ as_of: NOON, stages: {} }),
      ...answers,
    },
  }
  lines = []
  vi.stubGlobal("EventSource", FakeSource)
  vi.stubGlobal("fetch", async (path: string, init: RequestInit = {}) => {
    const url = new URL(path, "http://office")
    const method = init.method ?? "GET"
    const body = init.body ? (JSON.parse(String(init.body)) as Record<string, unknown>) : {}
    const short = url.pathname.replace("/office/v1", "")
    office.calls.push({ method, path: short, body })
    const answer = office.answers[`${method} ${short}`]
    if (!answer) return new Response("{}", { status: 404 })
    const said = await answer({ path: short, query: url.searchParams, method, body })
    return said instanceof Refusal
      ? new Response(JSON.stringify(said.body), { status: said.status })
      : new Response(said === undefined ? null : JSON.stringify(said), {
          status: said === undefined ? 204 : 200,
        })
  })
  return office
}

export async function visit(page: Component, at: string, path = at) {
  await speak("ru")
  forget()
  await whoami()
  const router = createRouter({
    history: createMemoryHistory(),
    routes: [
      { path, name: "here", component: page },
      { path: "/orders/:no", name: "order", component: { template: "<p>order</p>" } },
      { path: "/search", name: "search", component: { template: "<p>search</p>" } },
      { path: "/balance", name: "balance", component: { template: "<p>balance</p>" } },
      { path: "/:rest(.*)*", component: { template: "<p>elsewhere</p>" } },
    ],
  })
  await router.push(at)
  window.addEventListener("keydown", handleKey)
  const Shell = defineComponent({
    setup: () => () => h(UApp, null, { default: () => [h(LineBar), h(page), h(ActionDialog)] }),
  })
  const view = render(Shell, { global: { plugins: [i18n, router, ui] } })
  return { ...view, router }
}
