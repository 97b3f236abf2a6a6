/** What the office refuses, said in the reader's language: by code, never by guessing. */

import { useI18n } from "vue-i18n"
import type { Problem, ProblemFault } from "@/api/http"
import { refusalIn } from "./i18n/refusals"

export function useSaying() {
  const { t, te, locale } = useI18n()

  /** A field's own wording goes before the general one; a new code keeps the office's words. */
  function fault({ pointer, code, message }: ProblemFault): string {
    const field = pointer.split("/").pop() ?? ""
    const key = [`fault.${field}_${code}`, `fault.${code}`].find((one) => te(one))
    return key ? t(key) : message
  }

  function problem(said: Problem): string {
    const [first] = said.faults
    const detail = first ? fault(first) : refusalIn(locale.value, said.message)
    return t(te(`refused.${said.slug}`) ? `refused.${said.slug}` : "refused.other", { detail })
  }

  return { fault, problem }
}
