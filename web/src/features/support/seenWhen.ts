/** When something was seen first and last; said once where that is the same minute. */

import { useI18n } from "vue-i18n"
import type { Instant } from "@/api/types"
import { useFormat } from "@/shared/format"

export function useSeenWhen() {
  const { t } = useI18n()
  const { dayAndClock } = useFormat()

  return (one: { first_at: Instant; last_at: Instant }): string => {
    const [first, last] = [dayAndClock(one.first_at), dayAndClock(one.last_at)]
    return first === last ? last : t("letters.seen", { first, last })
  }
}
