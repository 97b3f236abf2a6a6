/** Every kind of event in a plain sentence. The facts come from the event; nothing is guessed. */

import { useI18n } from "vue-i18n"
import type { FeedEntry, ManualReason } from "@/api/types"
import { useFormat } from "@/shared/format"
import { useSaid } from "@/shared/said"

type Facts = Record<string, unknown>
type Params = Record<string, string | number>

const text = (value: unknown) => (value === null || value === undefined ? "" : String(value))

const BY_SOMEBODY = new Set(["order.started", "order.completed", "order.packaging"])

/** Which wording an event takes, when its facts change the meaning. */
export function wordingOf(kind: string, data: Facts, actor?: string): string {
  if (data.inferred) return `${kind}_inferred`
  if (kind === "order.approved" && data.rule) return `${kind}_rule`
  if (kind === "order.cancelled" && data.made) return `${kind}_made`
  if (data.operator && BY_SOMEBODY.has(kind)) return `${kind}_by`
  if (kind === "price.calculated" && actor === "person") return `${kind}_person`
  return kind
}

export function useSentences() {
  const { t, te } = useI18n()
  const format = useFormat()
  const { spoken } = useSaid()

  function paramsOf(entry: FeedEntry): Params {
    const { data } = entry
    return { ...plain(data), ...instants(data), ...named(entry), ...heard(entry) }
  }

  const plain = (data: Facts): Params => ({
    reason: reasonOf(data.reason),
    why: reasonOf(data.why),
    reference: text(data.reference),
    rule: text(data.rule),
    version: text(data.version),
    message: manualReason({ code: text(data.code), message: text(data.message) }),
    position: text(data.position),
    priority: text(data.priority),
    text: text(data.text),
    said: text(data.said),
    expected: format.word("stage.plain", text(data.expected)).toLowerCase(),
    no: text(data.rework_no),
  })

  /** What a process of ours wrote down goes before the same in English. */
  const heard = ({ said }: FeedEntry): Params => (said ? { said: spoken(said), why: spoken(said) } : {})

  const instants = (data: Facts): Params => ({
    until: format.momentInWords(text(data.until) || text(data.valid_until)),
    promise: format.dayInWords(text(data.promise_at)),
  })

  const named = ({ data, actor }: FeedEntry): Params => ({
    operator: operatorOf(data, actor),
    owner: format.word("owner", text(data.owner)),
    count: Array.isArray(data.positions) ? data.positions.length : 0,
    total: data.total
      ? format.money({ amount: text(data.total), currency: text(data.currency) || "RUB" })
      : "",
    reasons: reasonsOf(data.reasons as ManualReason[] | undefined),
    tracking: text(data.tracking_no),
    name: text(data.file_name) || text(data.file_id),
    system: format.word("hops.place", text(data.system)),
    state: format.word("delivery", text(data.state)).toLowerCase(),
    decision: decisionOf(text(data.decision)),
    outcome: format.word("ask.outcomes", text(data.outcome)).toLowerCase(),
    risk: format.word("riskSaid", text(data.risk)),
  })

  const reasonOf = (value: unknown) =>
    te(`reasons.${text(value)}`) ? t(`reasons.${text(value)}`) : text(value)

  function operatorOf(data: Facts, actor: FeedEntry["actor"]): string {
    const login = text(data.operator)
    return text(data.operator_name) || (login && login === actor.id ? actor.name || login : login)
  }

  /** The stable code is worded here, in the reader's language; a new code keeps the engine's own. */
  const manualReason = ({ code, message }: Pick<ManualReason, "code" | "message">) =>
    te(`manual.${code}`) ? t(`manual.${code}`) : message || code

  function reasonsOf(reasons: ManualReason[] | undefined): string {
    return (reasons ?? []).map(manualReason).join("; ")
  }

  /** `accept: a note` keeps its note. */
  function decisionOf(decision: string): string {
    const [code = "", ...note] = decision.split(": ")
    return [format.word("ask.decisions", code).toLowerCase(), ...note].join(": ")
  }

  /** An unknown kind of a newer server is named, not hidden. */
  function sentence(entry: FeedEntry): string {
    const wording = `events.${wordingOf(entry.kind, entry.data, entry.actor.kind)}`
    return te(wording) ? t(wording, paramsOf(entry)) : entry.kind
  }

  return { sentence, manualReason }
}

const BROKEN = new Set([
  "price.manual",
  "price.failed",
  "price.expired",
  "file.rejected",
  "order.cancel_refused",
  "order.hold_expired",
  "delivery.diverged",
])
const BROKEN_STATES = new Set(["rejected", "uncertain", "diverged", "dead"])

export function isFailure(entry: Pick<FeedEntry, "kind" | "data">): boolean {
  if (entry.kind === "delivery.changed") return BROKEN_STATES.has(text(entry.data.state))
  if (entry.kind === "risk.changed") return entry.data.risk === "late"
  return BROKEN.has(entry.kind)
}

const ICONS: [prefix: string, icon: string][] = [
  ["order.submitted", "i-lucide-inbox"],
  ["order.approved", "i-lucide-badge-check"],
  ["order.claim", "i-lucide-hand"],
  ["order.started", "i-lucide-hammer"],
  ["order.completed", "i-lucide-gem"],
  ["order.packaging", "i-lucide-package-open"],
  ["order.shipped", "i-lucide-truck"],
  ["order.closed", "i-lucide-circle-check"],
  ["order.cancel", "i-lucide-circle-slash"],
  ["order.held", "i-lucide-pause"],
  ["order.hold", "i-lucide-pause"],
  ["order.resumed", "i-lucide-play"],
  ["order.rework", "i-lucide-repeat"],
  ["price.", "i-lucide-calculator"],
  ["file.", "i-lucide-file-box"],
  ["promise.", "i-lucide-calendar-clock"],
  ["return.", "i-lucide-package-x"],
  ["delivery.", "i-lucide-arrow-left-right"],
  ["risk.", "i-lucide-clock-alert"],
  ["note.", "i-lucide-sticky-note"],
  ["priority.", "i-lucide-flame"],
]

export function iconOf(kind: string): string {
  return ICONS.find(([prefix]) => kind.startsWith(prefix))?.[1] ?? "i-lucide-circle-dot"
}
