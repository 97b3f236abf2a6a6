/** The board's filter lives in the address, so that a view can be sent to a colleague. */

import type { Me, Row, Stage } from "@/api/types"
import { STAGES } from "@/api/types"

export interface Filter {
  stage?: string
  risk?: string
  needs?: string
  claim?: string
  held?: string
  channel?: string
  partner?: string
  material?: string
  q?: string
  sort?: string
}

export const FILTER_NAMES = [
  "stage",
  "risk",
  "needs",
  "claim",
  "held",
  "channel",
  "partner",
  "material",
  "q",
  "sort",
] as const

export const NEEDS = [
  "price",
  "cancel",
  "diverged",
  "uncertain",
  "rejected",
  "dead",
  "recalled",
  "file",
] as const
export const SORTS = ["rank", "due", "changed"] as const

export interface Preset {
  name: "open" | "claimable" | "mine" | "late" | "at_risk" | "held" | "needs_person"
  filter: Filter
  count?: "claimable" | "mine" | "held" | "at_risk" | "late" | "needs_person"
  icon: string
}

export const PRESETS: Preset[] = [
  { name: "open", filter: {}, icon: "i-lucide-layers" },
  {
    name: "claimable",
    filter: { stage: "MANUFACTURING_APPROVED", claim: "free" },
    count: "claimable",
    icon: "i-lucide-inbox",
  },
  { name: "mine", filter: { claim: "mine" }, count: "mine", icon: "i-lucide-user-round" },
  { name: "late", filter: { risk: "late" }, count: "late", icon: "i-lucide-octagon-alert" },
  { name: "at_risk", filter: { risk: "at_risk" }, count: "at_risk", icon: "i-lucide-clock-alert" },
  { name: "held", filter: { held: "1" }, count: "held", icon: "i-lucide-pause" },
  {
    name: "needs_person",
    filter: { needs: NEEDS.join(",") },
    count: "needs_person",
    icon: "i-lucide-circle-help",
  },
]

type Query = Record<string, unknown>

export function filterOf(query: Query): Filter {
  const filter: Filter = {}
  for (const name of FILTER_NAMES) {
    const value = query[name]
    if (typeof value === "string" && value) filter[name] = value
  }
  return filter
}

export function sameFilter(a: Filter, b: Filter): boolean {
  return FILTER_NAMES.every((name) => name === "sort" || (a[name] ?? "") === (b[name] ?? ""))
}

export function asText(filter: Filter): string {
  return new URLSearchParams(Object.entries(filter)).toString()
}

export function fromText(text: string): Filter {
  return filterOf(Object.fromEntries(new URLSearchParams(text)))
}

const oneOf = (wanted: string | undefined, value: string | null | undefined) =>
  !wanted || wanted.split(",").includes(value ?? "")

/** Whether a row that came by the live line belongs to the list; the server has the last word. */
export function matches(row: Row, filter: Filter, me: Pick<Me, "login" | "id"> | null): boolean {
  return (
    inStages(row, filter.stage) &&
    oneOf(filter.risk, row.risk) &&
    oneOf(filter.needs, row.needs) &&
    claimed(row, filter.claim, me) &&
    (!filter.held || row.hold != null) &&
    oneOf(filter.channel, row.channel) &&
    // What the browser cannot judge is not called new.
    !filter.q &&
    !filter.partner &&
    !filter.material
  )
}

function inStages(row: Row, wanted: string | undefined): boolean {
  return wanted ? oneOf(wanted, row.stage) : row.stage !== "CLOSED" && row.stage !== "CANCELLED"
}

function claimed(row: Row, wanted: string | undefined, me: Pick<Me, "login" | "id"> | null): boolean {
  if (!wanted) return true
  const holder = row.claim?.operator
  if (wanted === "free") return !holder
  return wanted === "mine"
    ? holder !== undefined && (holder === me?.login || holder === me?.id)
    : holder === wanted
}

export const FILTER_STAGES: Stage[] = STAGES.filter((stage) => stage !== "INITIATED")
