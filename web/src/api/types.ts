/** Wire shapes of the office, as its contract has them. Instants are RFC 3339 strings in UTC. */

export const STAGES = [
  "INITIATED",
  "FILE_UPLOADED",
  "SUBMITTED",
  "PRICE_CALCULATED",
  "MANUFACTURING_APPROVED",
  "MANUFACTURING_STARTED",
  "MANUFACTURING_COMPLETED",
  "PACKAGING",
  "SHIPPED",
  "CLOSED",
  "CANCELLED",
] as const
export type Stage = (typeof STAGES)[number]

export const ROLES = ["seller", "operator", "head", "support", "admin"] as const
export type Role = (typeof ROLES)[number]

export type Locale = "ru" | "en"
export type Risk = "ok" | "at_risk" | "late"
export type Need = "price" | "cancel" | "diverged" | "uncertain" | "rejected" | "dead" | "recalled" | "file"
export type Instant = string

export interface Money {
  amount: string
  currency: string
}

export interface Me {
  id: string
  login: string
  name: string
  role: Role
  locale: Locale
  can: string[]
  mes: "floor" | "http"
  board_read_only: boolean
  time: Instant
}

export interface Claim {
  operator: string
  operator_name?: string | null
  since?: Instant | null
  until?: Instant | null
}

export interface RowHold {
  reason: string
  until?: Instant | null
}

export interface Row {
  order_no: string
  client_ref?: string | null
  channel: string
  partner?: string | { id: string; name: string } | null
  stage: Stage
  stage_since: Instant
  created_at: Instant
  changed_at: Instant
  priority: number
  due_at?: Instant | null
  due_owner?: string | null
  risk: Risk
  promise_at?: Instant | null
  summary: string
  pieces: number
  price?: { state: string; total?: Money | null } | null
  hold?: RowHold | null
  claim?: Claim | null
  mes_state?: string | null
  needs?: Need | null
  version: number
  can?: string[]
}

export interface Page<T> {
  items: T[]
  next: string | null
  as_of?: Instant
  version?: number | string
}

export interface Count {
  n: number
  more?: boolean
}

export interface Counts {
  as_of: Instant
  stages: Partial<Record<Stage, Count>>
  claimable: Count
  mine: Count
  held: Count
  at_risk: Count
  late: Count
  needs_person: Count
  approval: Count
}

export interface SavedView {
  id: string
  name: string
  query: string
}

export interface PriceLineItem {
  code: string
  inputs?: Record<string, unknown> | null
  amount: string | Money
}

export interface PositionPrice {
  unit: string | Money
  total: string | Money
  lines?: PriceLineItem[]
  mass_g?: string | null
  volume_mm3?: string | null
}

export interface ManualReason {
  position: number
  code: string
  message: string
}

export interface PriceDetailLine extends PositionPrice {
  position: number
}

export interface PriceDetail {
  version: number
  total?: Money | null
  valid_until?: Instant | null
  lines?: PriceDetailLine[]
  book_version?: string | null
  by?: string | null
}

export interface ApprovalItem extends Row {
  price_detail?: PriceDetail | null
  reasons?: ManualReason[]
  customer?: { name?: string | null } | null
  previous_total?: Money | null
  cancel_request?: CancelRequest | null
  consent_needed?: boolean
}

export interface ModelFile {
  id: string
  name: string | null
  sha256?: string | null
  size_bytes?: number | null
  state?: string | null
}

export interface OrderPosition {
  position: number
  quantity: number
  material?: string | null
  file?: ModelFile | null
  sku?: string | null
  engraving?: string | null
  price?: PositionPrice | null
  rejected?: string | null
}

/** A sentence of the office's: by code, with its facts; without one, somebody else's words. */
export interface Said {
  text: string
  code?: string
  facts?: Record<string, string>
  /** What the sentence passes on. */
  inner?: Said
}

export interface WorkOrder {
  reference: string
  generation: number
  state: string
  since: Instant
  detail?: string | null
  said?: Said | null
  mes_id?: string | null
}

export interface OrderHold {
  reason: string
  owner: string
  until?: Instant | null
  since?: Instant | null
  stops_clock?: boolean
  by?: string | null
  expired?: boolean
}

export interface CancelRequest {
  reason: string
  by?: string | null
  since?: Instant | null
  refused?: string | null
  /** What the MES said to it. */
  said?: Said | null
}

export interface ReturnCase {
  state: string
  reason: string
  since: Instant
  outcome?: string | null
  replacement?: string | null
}

export interface OrderPrice {
  state: string
  version: number
  total?: Money | null
  valid_until?: Instant | null
  by?: string | null
  book_version?: string | null
  consent_needed?: boolean
  accepted?: Money | null
  reasons?: ManualReason[]
}

export interface Order {
  order_no: string
  client_ref?: string | null
  channel: string
  partner?: { id: string; name: string } | null
  stage: Stage
  stage_since: Instant
  version: number
  created_at: Instant
  submitted_at?: Instant | null
  promise_by?: Instant | null
  promise_at?: Instant | null
  priority: number
  risk: Risk
  due?: { owner: string; at: Instant } | null
  positions: OrderPosition[]
  price: OrderPrice
  hold?: OrderHold | null
  claim?: Claim | null
  work_order?: WorkOrder | null
  earlier_work_orders?: WorkOrder[]
  delivery?: { mes?: string | null; crm?: string | null } | null
  cancel_request?: CancelRequest | null
  cancelled_because?: string | null
  return_case?: ReturnCase | null
  rework_no?: number
  home?: SourceHome
  shipment?: { tracking_no: string; carrier?: string | null } | null
  diverged?: string | null
  diverged_said?: Said | null
  origin?: string | null
  customer?: Customer | null
  delivery_address?: unknown
  note?: string | null
}

export interface Customer {
  name?: string | null
  email?: string | null
  phone?: string | null
  masked?: boolean
}

export interface JourneyStep {
  stage: Stage
  entered_at?: Instant | null
  left_at?: Instant | null
  norm_s?: number | null
  state: "done" | "current" | "ahead" | "skipped"
  marks?: ("hold" | "rework" | "reprice")[]
}

export interface Hop {
  at?: Instant | null
  from: string
  to: string
  what: string
  state: string
  id?: string | null
}

export interface OrderPageData {
  order: Order
  journey: JourneyStep[]
  hops: Hop[]
  can: string[]
  next?: { owner: string; what: string; at?: Instant | null } | null
  /** Whose draft it is; `mine`: this person may go on with it. */
  draft?: { writer: string; mine: boolean } | null
  as_of: Instant
}

export type FeedLevel = "business" | "integration" | "technical"

export interface FeedEntry {
  seq: number
  at: Instant
  kind: string
  stage: Stage
  actor: { kind: string; id: string; name?: string | null; role?: string | null }
  source: string
  command?: string | null
  trace_id?: string | null
  level: FeedLevel
  data: Record<string, unknown>
  /** What a process of ours wrote down of what it heard. */
  said?: Said | null
}

export interface ActionAnswer {
  order_no: string
  version: number
  stage: Stage
  pending: boolean
}

export interface TakeNext {
  order_no: string | null
  row?: Row
  why?: RankReason[] | string
}

/** Why an order is next: a code with its number, worded here. */
export interface RankReason {
  code: string
  days?: number | null
  priority?: number | null
}

export interface Hit {
  kind: "order"
  order_no: string
  why: string
  row: Row
}

export interface OperatorLoad {
  login: string
  name: string
  in_work: number | Count
}

export interface UploadedFile {
  file_id: string
  sha256: string
  state: string
  name?: string | null
  size_bytes?: number
}

export interface Catalogue {
  book_version: string | null
  label?: string | null
  currency: string
  materials: { code: string; title: Record<Locale, string> | string }[]
  skus: { sku: string; title: Record<Locale, string> | string; price?: Money | string | null }[]
}

export interface Submission {
  client_ref?: string
  items: SubmissionItem[]
  customer: { name: string; email?: string; phone?: string }
  delivery_address?: string
  promise_by?: Instant
  note?: string
}

export interface SubmissionItem {
  file_id?: string
  sku?: string
  material?: string
  quantity: number
  engraving?: string
}

/** An order as far as it is written. */
export interface DraftBody {
  client_ref?: string
  items?: Partial<SubmissionItem>[]
  customer?: { name?: string; email?: string; phone?: string }
  delivery_address?: string | Record<string, string>
  promise_by?: string
  note?: string
}

export interface KeptDraft {
  order_no: string
  version: number
  body: DraftBody
  files: Record<string, string>
  /** When it was written last. */
  at?: Instant
}

/** A person's own drafts, the newest first; `next` is where the following page begins. */
export interface DraftPage {
  items: KeptDraft[]
  total: number
  next: string | null
}

export interface SubmitAnswer {
  order_no: string
  client_ref?: string | null
  stage: Stage
}

export interface Person {
  id: string
  login: string
  name: string
  role: Role
  locale?: Locale
  active?: boolean
  disabled_at?: Instant | null
}

export interface PartnerKey {
  id: string
  prefix?: string | null
  created_at?: Instant | null
  last_used_at?: Instant | null
  revoked_at?: Instant | null
}

export interface Partner {
  id: string
  name: string
  rate?: string | null
  auto_approve_below?: Money | string | null
  keys?: PartnerKey[]
}

/** Words that the office itself has in both languages. */
export type Told = Record<Locale, string>

/** How many orders are in each class: the six are disjoint and add up to `accepted`. */
export interface Sums {
  accepted: number
  cancelled: number
  at_mes: number
  uncertain: number
  quarantined: number
  waiting: number
  in_flight: number
}

/** The last thing that is proven of an order. */
export interface ProvenHop {
  at: Instant
  hop: string
  title: Told
  detail: string
}

export interface Difference {
  order_no: string | null
  reference: string | null
  system: string
  system_title: Told
  kind: string
  title: Told
  what: string
  said: Said | null
  since: Instant | null
  proof: ProvenHop | null
}

export interface TrendPoint {
  at: Instant
  accepted: number
  in_flight: number
  waiting: number
  uncertain: number
  quarantined: number
  differences: number
}

/** A broker's own counters since it started; repeats are counted each time. */
export interface AtBroker {
  published: number
  confirmed: number
  returned: number
  dropped: number
  delivered: number
  acked: number
  redelivered: number
  held: number
}

/** Where every accepted order was at `at`. */
export interface Balance extends Sums {
  at: Instant
  stale_after_s: number
  old_after_s: number
  took_ms: number
  drafts: number
  received_not_yet: number
  /** Of these, what waits for a person in the tray. */
  not_understood: number
  unaccounted: number
  partners: (Sums & { id: string | null; name: string | null })[]
  /** Envelopes over the whole road, where a broker's counts are known. */
  carried: { published: number; consumed: number; parked: number; broker?: AtBroker } | null
  difference_count: number
  differences: Difference[]
  trend: TrendPoint[]
}

/** Why an order is where it is. */
export interface Explanation {
  order_no: string
  state: "rest" | "fine" | "waiting" | "late" | "stuck" | "missing"
  title: Told
  class: string | null
  last: ProvenHop | null
  next: { hop: string; title: Told; owner: string; owner_title: Told; by: Instant | null } | null
  rule: string | null
  rule_title: Told | null
  todo: { code: string; title: Told }[]
  detail: string
  said: Said | null
}

export interface ReconcilePass {
  row: number
  started_at: Instant
  by: string
  phase: "asked" | "listing" | "looking" | "proving" | "done"
  moved_at: Instant
  shown?: number
  ours?: number
  compared?: number
  unanswered?: number
  finished_at?: Instant | null
  note?: string | null
  said?: Said | null
}

/** What a comparison with the MES found. */
export interface Finding {
  row: number
  kind: string
  title: Told
  advice: Told
  reference: string
  order_no: string | null
  what: string
  said: Said | null
  since: Instant
  seen_at: Instant
  state: string
  can: string[]
  decision: string | null
  note: string | null
  decided_by: string | null
  decided_at: Instant | null
}

export interface Reconciliation extends Page<Finding> {
  running: ReconcilePass | null
  last: ReconcilePass | null
  counts: Record<string, number>
  every_s: number
  policy: Record<string, string>
  as_of: Instant
}

/** A foreign system: whether calls leave for it, and if not, who or what holds them. */
export interface Destination {
  name: string
  title: string
  condition: "paused" | "maintenance" | "away" | "probing" | "asked_to_wait" | "ramping" | "open"
  since: Instant | null
  until: Instant | null
  by: string | null
  why: string | null
  waiting: number
  waiting_more: boolean
  most: number
}

export interface Destinations {
  at: Instant
  may_pause: boolean
  items: Destination[]
}

export type SourceMode = "off" | "tap" | "shadow" | "live" | "back"
export type SourceHome = "mirrored" | "co_mastered" | "mastered"

/** An order that a shadow saw, beside what became of it by the old road. */
export interface ShadowOrder {
  number: string
  at: Instant
  verdict: "accept" | "refuse"
  why: string | null
  state: "waiting" | "same" | "missing" | "differs"
  detail: string | null
  said: Said | null
  mes_id: string | null
}

/** A present system that orders are taken over from. */
export interface Source {
  name: string
  partner: string
  home: SourceHome
  road: { kind: "queue" | "database"; name: string } | null
  mode: SourceMode
  takes: "copies" | "original" | "rows" | null
  since: Instant | null
  by: string | null
  because: string | null
  settling: boolean
  seen_at: Instant | null
  last_at: Instant | null
  trouble: string | null
  /** What the trouble is. */
  said: Said | null
  next: SourceMode | null
  back: SourceMode[]
  tapped: Record<string, number>
  compared: Record<string, number>
  taken: Record<string, number>
  /** Not taken yet: the comparison still looks whether the old road has them. */
  left: number
  last_difference: ShadowOrder | null
}

export interface Sources {
  at: Instant
  may_move: boolean
  items: Source[]
}

/** How far the sellers' CRM knows of an order. */
export interface CrmKnows {
  now: {
    state: string
    since: Instant
    attempts: number
    next_at: Instant | null
    detail: string | null
    said: Said | null
  } | null
  told: {
    version: number
    kind: string
    state: string
    at: Instant
    attempts: number
    detail: string | null
    said: Said | null
  }[]
  may_decide: boolean
  as_of: Instant
}

/** What a foreign system said and nobody understood. */
export interface UnknownMessage {
  row: number
  source: string
  message_id: string | null
  received_at: Instant
  reason: string
  detail: string | null
  said: Said | null
  body: string
  size_bytes: number
  headers: Record<string, string>
  state: "open" | "given" | "aside"
  order_no: string | null
  handled_by: string | null
  handled_at: Instant | null
  note: string | null
}

export interface UnknownList {
  items: UnknownMessage[]
  next: number | null
  counts: Record<UnknownMessage["state"], number>
  may_sort: boolean
  as_of: Instant
}

/** An order that another system lost or still holds. */
export interface LostOrder {
  row: number
  source: string
  number: string
  ordered_at: string | null
  partner: string | null
  customer: string | null
  what: string | null
  status: string | null
  mes_number: string | null
  note: string | null
  imported_at: Instant
  imported_by: string
  state: "open" | "found_here" | "brought_back" | "given_up"
  version: number
  order_no: string | null
  mes: "unasked" | "unknown" | "there" | "absent"
  mes_detail: string | null
  reason: string | null
  decided_by: string | null
  decided_at: Instant | null
}

export interface LostList {
  items: LostOrder[]
  next: number | null
  counts: Record<string, number>
  /** The other system whose database is set up to be read. */
  view: string | null
  as_of: Instant
}

/** What an import did, or would do. */
export interface LostImport {
  source: string
  rows: number
  fresh: number
  found_here: number
  known: number
  ignored: string[]
  dry_run: boolean
}

/** What has gone wrong between the systems; it stays for as long as it is so. */
export interface OfficeAlert {
  kind: "unaccounted" | "stale" | "differences" | "letters" | "work_orders"
  count: number
  since: Instant | null
}

/** Dead letters with one cause. */
export interface LetterGroup {
  fingerprint: string
  source: "inbox" | "quarantine"
  consumer: string
  kind: string | null
  cause: string
  said: Said | null
  count: number
  orders: number
  first_at: Instant
  last_at: Instant
  parked: boolean
  replayed: number
  /** How many died on each of the last days, the oldest first. */
  trend: number[]
  known: { owner: string; note: string; release: string | null; by: string; at: Instant } | null
}

/** It has failed and will be tried again by itself. */
export interface RetryingLetter {
  consumer: string
  kind: string
  order_key: string
  attempts: number
  next_at: Instant
  why: string
  said: Said | null
}

export interface DeadLetter {
  row: number
  order_key: string | null
  died_at: Instant
  attempts: number
  why: string
  said: Said | null
  replays: number
}

export type ReplayState = "waiting_approval" | "running" | "stopped" | "done" | "cancelled"

/** Sending a frozen set of dead letters again, step by step. */
export interface Replay {
  id: string
  fingerprint: string
  state: ReplayState
  cutoff: number
  per_minute: number
  step: number
  reason: string
  edited: boolean
  started_by: string
  approved_by: string | null
  redirect_to: string | null
  seen_by: string | null
  /** The release that mended the cause, or its address. */
  release: string | null
  count: number
  states: Partial<Record<"waiting" | "sent" | "handled" | "died" | "skipped", number>>
  trail: { at: Instant; by: string; what: string; why?: string }[]
  letters?: { row: number; before: string | null; after: string | null }[]
}

/** Work orders that stand still for one reason, the longest waiting first. */
export interface StandingGroup {
  state: "uncertain" | "rejected" | "dead" | "recalled" | "diverged"
  cause: string
  said: Said | null
  count: number
  first_at: Instant
  last_at: Instant
  work_orders: { order_no: string; reference: string; since: Instant; attempts: number; why: string }[]
}

export interface DeadLetters {
  groups: LetterGroup[]
  /** There are more than are shown. */
  more_groups: boolean
  work_orders: StandingGroup[]
  retrying: RetryingLetter[]
  replays: Replay[]
  four_eyes_above: number
  as_of: Instant
}

export interface LetterGroupPage {
  group: LetterGroup
  letters: DeadLetter[]
  /** `draft`: what a person begins with to mend what could not be read. */
  samples: { row: number; body: string; draft?: string }[]
  /** Who laid the newest of them aside, and why. */
  parking: { by: string; why: string; at: Instant } | null
  kinds: string[]
  /** Who else takes this kind. */
  others: string[]
  schema: unknown
  as_of: Instant
}

/** What a replay would do; nothing has been done. */
export interface DryRun {
  cutoff: number
  count: number
  verdicts: Partial<Record<"send" | "done" | "gone" | "nowhere", number>>
  orders: Partial<Record<"send" | "done" | "gone" | "nowhere", string[]>>
  second_person: boolean
}
