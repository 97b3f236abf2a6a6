/** Believable orders for looking at pages without a server. Development only; never shipped. */

import type { ApprovalItem, FeedEntry, JourneyStep, Money, OrderPageData, Row, Stage } from "../src/api/types"
import { STAGES } from "../src/api/types"

const HOUR = 3_600_000
const DAY = 24 * HOUR
const ROAD: Stage[] = STAGES.filter((stage) => stage !== "CANCELLED")
const NORMS: Partial<Record<Stage, number>> = {
  SUBMITTED: 1800,
  PRICE_CALCULATED: 86400,
  MANUFACTURING_APPROVED: 172800,
  MANUFACTURING_STARTED: 432000,
  MANUFACTURING_COMPLETED: 86400,
  PACKAGING: 86400,
  SHIPPED: 1209600,
}
const OWNERS: Partial<Record<Stage, string>> = {
  SUBMITTED: "engine",
  PRICE_CALCULATED: "seller",
  SHIPPED: "carrier",
}
const NEXT: Partial<Record<Stage, string>> = {
  SUBMITTED: "price",
  PRICE_CALCULATED: "approve",
  MANUFACTURING_APPROVED: "start",
  MANUFACTURING_STARTED: "done",
  MANUFACTURING_COMPLETED: "pack",
  PACKAGING: "ship",
  SHIPPED: "close",
}
const PEOPLE = { anna: "Анна Петрова", ivan: "Иван Соколов", maria: "Мария Константинопольская" }
const SUMMARIES = [
  "au585_yellow × 2",
  "ag925 × 1",
  "pt950 × 1, RING-CLASSIC-17 × 1",
  "au750_yellow × 12",
  "brass × 40",
  "wax × 3, resin × 1, ag925 × 2 +4",
]
const STAGE_MIX: Stage[] = [
  "MANUFACTURING_APPROVED",
  "MANUFACTURING_STARTED",
  "PRICE_CALCULATED",
  "MANUFACTURING_APPROVED",
  "SUBMITTED",
  "MANUFACTURING_COMPLETED",
  "PACKAGING",
  "SHIPPED",
  "MANUFACTURING_STARTED",
]

const iso = (ms: number) => new Date(ms).toISOString()
const rub = (amount: string): Money => ({ amount, currency: "RUB" })

export function anOrder(n: number, now = Date.now()): Row {
  const stage = STAGE_MIX[n % STAGE_MIX.length] as Stage
  const dueIn = ((n * 37) % 140) - 24
  const risk = dueIn < 0 ? "late" : dueIn < 20 ? "at_risk" : "ok"
  const working = stage === "MANUFACTURING_STARTED" || (stage === "MANUFACTURING_APPROVED" && n % 4 === 3)
  const [login, name] = Object.entries(PEOPLE)[n % 3] as [string, string]
  return {
    order_no: `OK-${String(400 + n).padStart(6, "0")}`,
    client_ref: n % 3 ? `WEB-${9000 + n}` : null,
    channel: n % 3 ? "api" : "shop",
    partner: n % 3 ? "Ювелирный дом «Александровский»" : null,
    stage,
    stage_since: iso(now - ((n * 5) % 70) * HOUR),
    created_at: iso(now - (3 + (n % 9)) * DAY),
    changed_at: iso(now - n * 60_000),
    priority: n % 17 === 0 ? 1 : 5,
    due_at: iso(now + dueIn * HOUR),
    due_owner: OWNERS[stage] ?? "operator",
    risk,
    promise_at: iso(now + (dueIn + 90) * HOUR),
    summary: SUMMARIES[n % SUMMARIES.length] as string,
    pieces: 1 + (n % 5),
    price: {
      state: stage === "SUBMITTED" ? "running" : "ready",
      total: stage === "SUBMITTED" ? null : rub(`${((n * 7919) % 90000) + 3500}.50`),
    },
    hold: n % 13 === 5 ? { reason: "Ждём камень от поставщика", until: iso(now + 2 * DAY) } : null,
    claim: working
      ? {
          operator: login,
          operator_name: name,
          until: stage === "MANUFACTURING_STARTED" ? null : iso(now + 2.4 * HOUR),
        }
      : null,
    mes_state: "applied",
    needs: n % 19 === 4 ? "uncertain" : null,
    version: 6 + (n % 5),
    can:
      stage === "MANUFACTURING_APPROVED"
        ? working
          ? login === "anna"
            ? ["start", "release", "hold", "note"]
            : ["hold", "note"]
          : ["claim", "hold", "note"]
        : stage === "MANUFACTURING_STARTED"
          ? ["done", "hand-back", "hold", "cannot-be-made", "reassign", "note"]
          : stage === "MANUFACTURING_COMPLETED"
            ? ["pack", "rework", "hold", "note"]
            : stage === "PACKAGING"
              ? ["ship", "rework", "note"]
              : stage === "PRICE_CALCULATED"
                ? ["approve", "enter-price", "reprice", "hold", "cancel", "note"]
                : ["note"],
  }
}

export function anOrderPage(row: Row, now = Date.now()): OrderPageData {
  const at = ROAD.indexOf(row.stage)
  const journey: JourneyStep[] = ROAD.map((stage, index) => {
    const draft = index < 2
    const entered = now - (at - index) * 26 * HOUR - 7 * HOUR
    return {
      stage,
      entered_at: draft || index > at ? null : iso(entered),
      left_at: draft || index >= at ? null : iso(entered + 26 * HOUR),
      norm_s: NORMS[stage] ?? null,
      state: draft ? "skipped" : index < at ? "done" : index === at ? "current" : "ahead",
      marks: index === 3 && at > 3 ? ["reprice"] : index === 4 && at >= 4 ? ["hold"] : [],
    }
  })
  const lines = [
    { code: "metal", inputs: { mass_g: "4.213", rate_per_g: "6250" }, amount: "26331.25" },
    { code: "metal_lost_in_casting", inputs: { mass_g: "0.126" }, amount: "787.50" },
    { code: "resin", inputs: { resin_ml: "0.52", per_ml: "38" }, amount: "19.76" },
    { code: "finishing", inputs: { minutes: "48", area_mm2: "912" }, amount: "1440" },
    { code: "engraving", inputs: { fee: "650" }, amount: "1300" },
    { code: "margin", inputs: { share: "0.35" }, amount: "966" },
    { code: "vat", inputs: { rate: "0.2" }, amount: "6168.90" },
  ]
  return {
    order: {
      order_no: row.order_no,
      client_ref: row.client_ref ?? null,
      channel: row.channel,
      partner: row.partner ? { id: "p1", name: row.partner as string } : null,
      stage: row.stage,
      stage_since: row.stage_since,
      version: row.version,
      created_at: row.created_at,
      submitted_at: row.created_at,
      promise_by: null,
      promise_at: row.promise_at ?? null,
      priority: row.priority,
      risk: row.risk,
      due: row.due_at ? { owner: row.due_owner ?? "operator", at: row.due_at } : null,
      positions: [
        {
          position: 1,
          quantity: 2,
          material: "au585_yellow",
          file: {
            id: "f1",
            name: "кольцо-обручальное-переплетение-17.5.stl",
            sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            size_bytes: 2_431_884,
          },
          sku: null,
          engraving: "Навсегда",
          price: {
            unit: rub("18506.70"),
            total: rub("37013.41"),
            lines,
            mass_g: "4.213",
            volume_mm3: "318.4",
          },
          rejected: null,
        },
        {
          position: 2,
          quantity: 1,
          material: null,
          file: null,
          sku: "CHAIN-45-585",
          engraving: null,
          price: { unit: rub("12400"), total: rub("12400"), lines: [], mass_g: "3.1" },
          rejected: null,
        },
      ],
      price: {
        state: row.price?.state ?? "ready",
        version: 2,
        total: row.price?.total ?? null,
        valid_until: iso(now + 2 * DAY),
        by: "engine",
        book_version: "example-2026-11",
        consent_needed: false,
        accepted: null,
        reasons: [],
      },
      hold: row.hold
        ? { reason: row.hold.reason, owner: "client", until: row.hold.until ?? null, stops_clock: true }
        : null,
      claim: row.claim ?? null,
      work_order: {
        reference: `${row.order_no}/2`,
        generation: 2,
        state: "applied",
        since: iso(now - 20 * HOUR),
        mes_id: "WO-99120",
      },
      earlier_work_orders: [
        {
          reference: row.order_no,
          generation: 1,
          state: "recalled",
          since: iso(now - 60 * HOUR),
          detail: "Изменилась цена",
        },
      ],
      delivery: { mes: "applied", crm: null },
      cancel_request: null,
      cancelled_because: null,
      return_case: null,
      rework_no: row.order_no.endsWith("1") ? 1 : 0,
      shipment: row.stage === "SHIPPED" ? { tracking_no: "RA123456789RU", carrier: "Почта России" } : null,
      diverged: null,
      origin: null,
      customer: {
        name: "Екатерина Воскобойникова",
        email: "katya.v@example.com",
        phone: "+7 900 000-00-00",
        masked: false,
      } as never,
      delivery_address: "Санкт-Петербург, наб. реки Фонтанки, 12, кв. 4",
      note: "Позвоните перед отправкой",
    },
    journey,
    hops: [
      ["api", "door", "submission", "kept"],
      ["order", "outbox", "order.submitted", "sent"],
      ["outbox", "inbox", "order.submitted", "received"],
      ["inbox", "quoting", "price", "done"],
      ["quoting", "order", "priced", "handled"],
      ["bridge", "mes", "work_order", "uncertain"],
      ["bridge", "mes", "work_order", "applied"],
      ["inbox", "bridge", "order.approved", "tried 2"],
    ].map(([from, to, what, state], index) => ({
      at: iso(now - 50 * HOUR + index * 3 * HOUR),
      from: from as string,
      to: to as string,
      what: what as string,
      state: state as string,
      id: `0192f6e0-77aa-7c3d-${index}`,
    })),
    can: row.can ?? [],
    next: NEXT[row.stage]
      ? { owner: row.due_owner ?? "operator", what: NEXT[row.stage] as string, at: row.due_at ?? null }
      : null,
    as_of: iso(now),
  }
}

export function aFeed(now = Date.now()): FeedEntry[] {
  const engine = { kind: "engine", id: "quoting" }
  const anna = { kind: "person", id: "anna", name: PEOPLE.anna, role: "operator" }
  const events: [number, string, FeedEntry["actor"], string, Record<string, unknown>, FeedEntry["level"]?][] =
    [
      [
        1,
        "note.added",
        { kind: "person", id: "olga", name: "Ольга Ким", role: "support" },
        "office",
        { text: "Клиентка просила не звонить до 11 утра" },
      ],
      [3, "order.started", anna, "floor", { operator: "anna" }],
      [4, "order.claimed", anna, "office", { operator: "anna", until: iso(now) }],
      [
        8,
        "delivery.changed",
        { kind: "bridge", id: "bridge" },
        "bridge",
        { system: "mes", reference: "OK-000401/2", state: "applied" },
        "integration",
      ],
      [
        9,
        "delivery.changed",
        { kind: "bridge", id: "bridge" },
        "bridge",
        { system: "mes", reference: "OK-000401/2", state: "uncertain", detail: "read timeout" },
      ],
      [
        10,
        "order.approved",
        { kind: "person", id: "sergey", name: "Сергей Литвинов", role: "seller" },
        "office",
        { reference: "OK-000401/2", generation: 2 },
      ],
      [
        90,
        "price.calculated",
        engine,
        "quoting",
        { version: 2, total: "49413.41", currency: "RUB", valid_until: iso(now + DAY) },
      ],
      [
        91,
        "price.queued",
        { kind: "rule", id: "expiry" },
        "watch",
        { version: 2, reason: "цена истекла" },
        "integration",
      ],
      [
        150,
        "price.manual",
        engine,
        "quoting",
        {
          version: 1,
          reasons: [{ position: 1, code: "open", message: "Модель не замкнута: 14 открытых рёбер" }],
        },
      ],
      [
        151,
        "order.submitted",
        { kind: "partner", id: "p1", name: "Ювелирный дом «Александровский»" },
        "door",
        { promise_at: iso(now + 9 * DAY), channel: "api" },
      ],
    ]
  return events.map(([hours, kind, actor, source, data, level], index) => ({
    seq: events.length - index,
    at: iso(now - hours * HOUR),
    kind,
    stage: "MANUFACTURING_STARTED",
    actor,
    source,
    command: "x",
    trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
    level: level ?? "business",
    data,
  }))
}

export function anApproval(row: Row, n: number): ApprovalItem {
  const page = anOrderPage(row)
  const manual = n % 4 === 2
  return {
    ...row,
    price: manual ? { state: "manual", total: null } : { state: "ready", total: rub("49413.41") },
    needs: manual ? "price" : null,
    can: manual ? ["enter-price", "reprice", "hold", "cancel", "note"] : (row.can ?? []),
    price_detail: {
      version: 2,
      total: manual ? null : rub("49413.41"),
      valid_until: manual ? null : (page.order.price.valid_until ?? null),
      lines: manual
        ? []
        : page.order.positions.map(
            (position) => ({ position: position.position, ...(position.price as object) }) as never,
          ),
      book_version: "example",
      by: "engine",
    },
    reasons: manual ? [{ position: 1, code: "open", message: "Модель не замкнута: 14 открытых рёбер" }] : [],
    customer: { name: "Екатерина Воскобойникова" },
    previous_total: n % 3 === 0 ? rub("46100.00") : null,
  }
}
