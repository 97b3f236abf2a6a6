/** A foreign system's condition as a sentence. */

import { useI18n } from "vue-i18n"
import type { Destination } from "@/api/types"
import { useFormat } from "./format"

export function useStateWords(): (one: Destination) => string {
  const { t } = useI18n()
  const { dayAndClock } = useFormat()
  return (one) =>
    [
      t(`destination.condition.${one.condition}`),
      one.by && t("destination.by", { name: one.by }),
      one.since && t("destination.since", { time: dayAndClock(one.since) }),
      one.until && t("destination.until", { time: dayAndClock(one.until) }),
      one.condition === "paused" && one.why,
    ]
      .filter(Boolean)
      .join(", ")
}
