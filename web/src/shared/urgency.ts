/** How pressing an order is: an icon and a word, never a colour alone. */

import { computed } from "vue"
import { useI18n } from "vue-i18n"
import type { Instant, Risk } from "@/api/types"
import { sameDay, useFormat } from "./format"
import { useNow } from "./now"

export interface Urgency {
  word: string
  icon: string
  colour: string
}

const LOOKS = {
  late: { icon: "i-lucide-octagon-alert", colour: "text-red-700" },
  soon: { icon: "i-lucide-clock-alert", colour: "text-amber-800" },
  calm: { icon: "i-lucide-clock", colour: "text-stone-600" },
  none: { icon: "i-lucide-minus", colour: "text-stone-500" },
}

export function useUrgency() {
  const { t } = useI18n()
  const now = useNow()
  const { span, clock } = useFormat()
  const tomorrow = computed(() => new Date(now.value.getTime() + 86_400_000))

  return (dueAt: Instant | null | undefined, risk: Risk, coarse = false): Urgency => {
    if (!dueAt) return { word: t(risk === "ok" ? "urgency.none" : `risk.${risk}`), ...lookOf(risk) }
    const at = new Date(dueAt)
    const leftS = (at.getTime() - now.value.getTime()) / 1000
    if (leftS < 0) return { word: t("urgency.late", { span: span(-leftS, coarse) }), ...LOOKS.late }
    if (risk === "late") return { word: t("risk.late"), ...LOOKS.late }
    if (sameDay(at, now.value)) return { word: t("urgency.today", { time: clock(at) }), ...LOOKS.soon }
    if (sameDay(at, tomorrow.value))
      return { word: t("urgency.tomorrow", { time: clock(at) }), ...LOOKS.soon }
    if (risk === "at_risk") return { word: `${t("risk.at_risk")} · ${span(leftS, coarse)}`, ...LOOKS.soon }
    return { word: t("urgency.left", { span: span(leftS, coarse) }), ...LOOKS.calm }
  }
}

function lookOf(risk: Risk) {
  return risk === "late" ? LOOKS.late : risk === "at_risk" ? LOOKS.soon : LOOKS.none
}
