import type { Role, Stage } from "@/api/types"

export interface StageLook {
  icon: string
  colour: string
}

const calm = "text-stone-500"

/** Every stage has its own icon, so that no colour has to be told apart. */
export const STAGE_LOOKS: Record<Stage, StageLook> = {
  INITIATED: { icon: "i-lucide-pencil-line", colour: calm },
  FILE_UPLOADED: { icon: "i-lucide-file-box", colour: calm },
  SUBMITTED: { icon: "i-lucide-calculator", colour: "text-sky-700" },
  PRICE_CALCULATED: { icon: "i-lucide-badge-russian-ruble", colour: "text-violet-700" },
  MANUFACTURING_APPROVED: { icon: "i-lucide-inbox", colour: "text-teal-700" },
  MANUFACTURING_STARTED: { icon: "i-lucide-hammer", colour: "text-blue-700" },
  MANUFACTURING_COMPLETED: { icon: "i-lucide-gem", colour: "text-emerald-700" },
  PACKAGING: { icon: "i-lucide-package-open", colour: "text-emerald-700" },
  SHIPPED: { icon: "i-lucide-truck", colour: "text-stone-600" },
  CLOSED: { icon: "i-lucide-circle-check", colour: calm },
  CANCELLED: { icon: "i-lucide-circle-slash", colour: calm },
}

/** Heads read like operators, admins like support. */
export function audienceOf(role: Role | undefined): "operator" | "seller" | "support" {
  if (role === "seller") return "seller"
  return role === "operator" || role === "head" ? "operator" : "support"
}
