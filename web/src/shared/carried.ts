/** What systems tell each other, in words: which system, and what it is about. */

import { useI18n } from "vue-i18n"
import { useFormat } from "./format"

export function useCarried() {
  const { t, te } = useI18n()
  const { word } = useFormat()
  const place = (code: string) => word("hops.place", code)

  /** Envelopes are named after the event or command they carry: `order.approved`, `work_order`. */
  function what(code: string): string {
    const key = `hops.kind.${code.replaceAll(".", "_")}`
    return te(key) ? t(key) : code
  }
  return { place, what }
}
