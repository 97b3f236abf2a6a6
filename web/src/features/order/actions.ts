/** What people can do with an order: which questions to ask first, how to tell the outcome. */

import { shallowRef } from "vue"
import { useToast } from "@nuxt/ui/composables/useToast"
import { useI18n } from "vue-i18n"
import { asProblem, type Problem } from "@/api/http"
import { orders } from "@/api/office"
import type { ActionAnswer, Claim, Money, OrderPosition, Stage } from "@/api/types"
import { useSaying } from "@/shared/saying"

export interface Target {
  order_no: string
  version: number
  stage?: Stage
  claim?: Claim | null
  hold?: { reason: string } | null
  price?: { state: string; total?: Money | null } | null
  priority?: number
  positions?: OrderPosition[]
  currency?: string
  needs?: string | null
}

export type FieldKind =
  | "text"
  | "long"
  | "money"
  | "moment"
  | "owner"
  | "check"
  | "priority"
  | "outcome"
  | "settle"
  | "delivery"
  | "operator"
  | "position"
  | "file"

export interface Field {
  name: string
  kind: FieldKind
  label: string
  optional?: boolean
  preset?: unknown
}

export interface Spec {
  fields: Field[]
  icon: string
  /** Cannot be taken back, and says so before. */
  grave?: boolean
  /** The route, when several buttons share one. */
  as?: string
}

const reason: Field = { name: "reason", kind: "text", label: "ask.reason" }
const DAYS_OF_HOLD = 2

function inDays(days: number): string {
  const at = new Date(Date.now() + days * 86_400_000)
  at.setHours(18, 0, 0, 0)
  return at.toISOString()
}

const hold = (owner: string, why = "", stops = false): Field[] => [
  { ...reason, preset: why },
  { name: "owner", kind: "owner", label: "ask.owner", preset: owner },
  { name: "until", kind: "moment", label: "ask.until", preset: inDays(DAYS_OF_HOLD) },
  { name: "stops_clock", kind: "check", label: "ask.stopsClock", optional: true, preset: stops },
]

export const SPECS: Record<string, Spec> = {
  approve: { icon: "i-lucide-badge-check", fields: [] },
  "enter-price": {
    icon: "i-lucide-pencil-line",
    fields: [{ name: "total", kind: "money", label: "ask.total" }, reason],
  },
  reprice: { icon: "i-lucide-calculator", fields: [reason] },
  "accept-price": { icon: "i-lucide-thumbs-up", fields: [] },
  promise: {
    icon: "i-lucide-calendar-clock",
    fields: [{ name: "promise_at", kind: "moment", label: "ask.promiseAt", preset: inDays(7) }, reason],
  },
  priority: {
    icon: "i-lucide-arrow-up-narrow-wide",
    fields: [{ name: "priority", kind: "priority", label: "ask.priority", preset: 5 }, reason],
  },
  hold: { icon: "i-lucide-pause", fields: hold("head") },
  "ask-client": {
    icon: "i-lucide-message-circle-question-mark",
    as: "hold",
    fields: hold("client", "ask.askClientReason", true),
  },
  lift: { icon: "i-lucide-play", fields: [reason] },
  cancel: { icon: "i-lucide-x", grave: true, fields: [reason] },
  "cancel-anyway": { icon: "i-lucide-x", grave: true, fields: [reason] },
  "cancel-withdraw": { icon: "i-lucide-undo-2", fields: [reason] },
  note: { icon: "i-lucide-sticky-note", fields: [{ name: "text", kind: "long", label: "ask.note" }] },
  "return-open": { icon: "i-lucide-package-x", fields: [reason] },
  "return-inspect": { icon: "i-lucide-scan-search", fields: [] },
  "return-resolve": {
    icon: "i-lucide-scale",
    fields: [{ name: "outcome", kind: "outcome", label: "ask.outcome", preset: "repair" }],
  },
  close: {
    icon: "i-lucide-circle-check",
    fields: [{ name: "why", kind: "text", label: "ask.why", preset: "ask.closeWhy" }],
  },
  "replace-file": {
    icon: "i-lucide-file-up",
    fields: [
      { name: "position", kind: "position", label: "ask.position", preset: 1 },
      { name: "file_id", kind: "file", label: "ask.file" },
    ],
  },
  settle: {
    icon: "i-lucide-scale",
    fields: [
      { name: "decision", kind: "settle", label: "ask.decision", preset: "accept" },
      { name: "note", kind: "text", label: "ask.note", optional: true },
    ],
  },
  "delivery-decide": {
    icon: "i-lucide-scale",
    fields: [
      { name: "decision", kind: "delivery", label: "ask.decision", preset: "there" },
      { name: "mes_id", kind: "text", label: "ask.mesId", optional: true },
      { name: "note", kind: "text", label: "ask.note", optional: true },
    ],
  },
  claim: { icon: "i-lucide-hand", fields: [] },
  release: { icon: "i-lucide-undo-2", fields: [reason] },
  start: { icon: "i-lucide-play", fields: [] },
  done: { icon: "i-lucide-check", fields: [] },
  pack: { icon: "i-lucide-package-open", fields: [] },
  ship: {
    icon: "i-lucide-truck",
    fields: [
      { name: "tracking_no", kind: "text", label: "ask.tracking" },
      { name: "carrier", kind: "text", label: "ask.carrier", optional: true },
    ],
  },
  "hand-back": { icon: "i-lucide-reply", fields: [reason] },
  rework: { icon: "i-lucide-repeat", fields: [reason] },
  "cannot-be-made": { icon: "i-lucide-ban", grave: true, fields: [reason] },
  reassign: {
    icon: "i-lucide-users",
    fields: [{ name: "operator", kind: "operator", label: "ask.operator" }, reason],
  },
  submit: { icon: "i-lucide-send", fields: [] },
}

/** The step that moves the order on comes first; the rest follow in the order of `SPECS`. */
const FORWARD = [
  "approve",
  "enter-price",
  "claim",
  "start",
  "done",
  "pack",
  "ship",
  "close",
  "delivery-decide",
  "settle",
  "lift",
  "accept-price",
  "return-inspect",
  "return-resolve",
  "submit",
]
const RARE = new Set([
  "cancel",
  "cancel-anyway",
  "cannot-be-made",
  "reassign",
  "priority",
  "promise",
  "return-open",
])

export const KEY_OF: Record<string, string> = {
  claim: "c",
  start: "s",
  done: "d",
  hold: "h",
  release: "u",
  pack: "p",
  ship: "o",
  rework: "r",
  approve: "a",
  "enter-price": "e",
  reprice: "r",
  note: "m",
  lift: "l",
  "ask-client": "q",
}

/** `work.claim`, `return_open` and `claim` are the same action to a person. */
export function allowed(can: string[] | undefined): string[] {
  const named = (can ?? []).map((right) => ALIAS[right] ?? right.replaceAll("_", "-"))
  return [...new Set(named)].filter((action) => action in SPECS).sort((a, b) => rank(a) - rank(b))
}

const ALIAS: Record<string, string> = {
  "work.claim": "claim",
  "work.start": "start",
  "work.done": "done",
  "work.pack": "pack",
  "work.ship": "ship",
  "work.release": "release",
  "work.hand_back": "hand-back",
  "work.rework": "rework",
  "work.reassign": "reassign",
  "order.hold": "hold",
  "order.lift": "lift",
  "order.approve": "approve",
  "order.cancel": "cancel",
  "price.enter": "enter-price",
  "price.reprice": "reprice",
  "promise.set": "promise",
  "priority.set": "priority",
  "note.add": "note",
  "return.open": "return-open",
  "return.resolve": "return-resolve",
  "delivery.settle": "settle",
}

function rank(action: string): number {
  const forward = FORWARD.indexOf(action)
  return forward >= 0 ? forward : FORWARD.length + Object.keys(SPECS).indexOf(action)
}

export const isForward = (action: string) => FORWARD.includes(action)
export const isRare = (action: string) => RARE.has(action)

export interface Question {
  target: Target
  action: string
  spec: Spec
  answer: (args: Record<string, unknown> | null) => void
}

/** What the dialog asks now; null when it is closed. */
export const question = shallowRef<Question | null>(null)

/** Orders whose action is on its way, and which: the buttons wait, nothing is shown as done yet. */
export const underway = shallowRef<ReadonlyMap<string, string>>(new Map())

/** What a key has asked for meanwhile, one step an order: told whether the step before was done. */
const waiting = new Map<string, (done: boolean) => void>()

/** Shows what the server says now; until it has, the order counts as under way. */
export type Look = () => Promise<unknown>
const nowhere: Look = () => Promise.resolve()

/** Whether a key means this action: while one is under way it may, for what is possible next is not known yet. */
export const answers = (action: string, can: string[] | undefined, orderNo: string | undefined) =>
  allowed(can).includes(action) || (orderNo !== undefined && underway.value.has(orderNo))

/** The step that was asked for, as far as it is possible by now: `R` is a rework at one stage, a new price at another. */
function meant(action: string, can: string[]): string | undefined {
  const possible = allowed(can)
  if (possible.includes(SPECS[action]?.as ?? action)) return action
  return possible.find((one) => KEY_OF[one] && KEY_OF[one] === KEY_OF[action])
}

const UNDO_MS = 10_000

/** What a person has seen of an order before deciding; a receipt on its way changes none of it. */
function seen(of: Target): string {
  return JSON.stringify([
    of.stage,
    of.claim?.operator,
    of.hold?.reason,
    of.price?.state,
    of.price?.total?.amount,
  ])
}

/** Sends it again, once, when only things have changed that nobody decides by. */
async function attempt(target: Target, action: string, args: Record<string, unknown>) {
  try {
    return await orders.act(target.order_no, action, target.version, args)
  } catch (error) {
    if (asProblem(error).slug !== "stale-order" || !target.stage) throw error
    const now = await orders.page(target.order_no).catch(() => null)
    if (!now || seen(now.order) !== seen(target)) throw error
    return orders.act(target.order_no, action, now.order.version, args)
  }
}

export function useActing() {
  const { t } = useI18n()
  const saying = useSaying()
  const toasts = useToast()

  /** Asks what has to be asked, does it, tells the outcome; null when it was not done. */
  async function act(target: Target, action: string, look: Look = nowhere): Promise<ActionAnswer | null> {
    const spec = SPECS[action]
    if (!spec) return null
    if (underway.value.has(target.order_no)) return after(target.order_no, action, look)
    const args = spec.fields.length || spec.grave ? await ask(target, action, spec) : {}
    return args && (await send(target, action, args, look))
  }

  async function send(target: Target, action: string, args: Record<string, unknown>, look: Look = nowhere) {
    let done = false
    underway.value = new Map([...underway.value, [target.order_no, action]])
    try {
      const answer = await attempt(target, SPECS[action]?.as ?? action, args)
      tell(target, action, answer)
      done = true
      return answer
    } catch (error) {
      refuse(asProblem(error))
      return null
    } finally {
      await look().catch(() => undefined)
      underway.value = new Map([...underway.value].filter(([no]) => no !== target.order_no))
      waiting.get(target.order_no)?.(done)
    }
  }

  /** A key is never swallowed: the next step waits for the one before, and is dropped if that fails. */
  async function after(orderNo: string, action: string, look: Look): Promise<ActionAnswer | null> {
    const again = underway.value.get(orderNo) === action
    tellWaiting(orderNo, again ? "acted.busy" : "acted.next", action)
    if (again || !(await turn(orderNo))) return null
    const now = await orders.page(orderNo).catch(() => null)
    const step = now && !question.value && meant(action, now.can)
    if (step) return act(now.order, step, look)
    tellWaiting(orderNo, "acted.notNow", action)
    return null
  }

  function tellWaiting(orderNo: string, key: string, action: string): void {
    toasts.add({
      id: `busy-${orderNo}`,
      title: t(key, { no: orderNo, action: t(`action.${action}`) }),
      icon: "i-lucide-hourglass",
      duration: 4_000,
    })
  }

  function tell(target: Target, action: string, answer: ActionAnswer): void {
    const said = t(answer.pending ? "acted.pending" : `acted.${action}`, { no: target.order_no })
    if (action === "claim") return offerUndo(said, { ...target, version: answer.version })
    toasts.add({
      title: said,
      icon: answer.pending ? "i-lucide-hourglass" : "i-lucide-check",
      duration: 4_000,
    })
  }

  function offerUndo(title: string, target: Target, description?: string): void {
    toasts.add({
      title,
      ...(description ? { description } : {}),
      icon: "i-lucide-hand",
      duration: UNDO_MS,
      actions: [
        {
          label: t("common.undo"),
          color: "neutral",
          variant: "outline",
          onClick: () => void send(target, "release", { reason: "undo" }),
        },
      ],
    })
  }

  function refuse(problem: Problem): void {
    toasts.add({
      title: saying.problem(problem),
      color: "error",
      icon: "i-lucide-circle-alert",
      duration: 8_000,
    })
  }

  return { act, send, refuse, offerUndo }
}

/** Waits until the step before is over; a later key takes the place of an earlier one. */
function turn(orderNo: string): Promise<boolean> {
  waiting.get(orderNo)?.(false)
  return new Promise((resolve) => {
    waiting.set(orderNo, (done) => {
      waiting.delete(orderNo)
      resolve(done)
    })
  })
}

function ask(target: Target, action: string, spec: Spec): Promise<Record<string, unknown> | null> {
  return new Promise((resolve) => {
    question.value = {
      target,
      action,
      spec,
      answer: (args) => {
        question.value = null
        resolve(args)
      },
    }
  })
}
