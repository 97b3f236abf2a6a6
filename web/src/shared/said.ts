/** Sentences of the office in the reader's language; what others said is quoted as they said it. */

import { useI18n } from "vue-i18n"
import type { Said } from "@/api/types"
import { useCarried } from "./carried"
import { useFormat } from "./format"
import { REFUSALS_RU, refusalIn } from "./i18n/refusals"

type Words = (value: string) => string

/** `2026-11-23 10:05` and `2026-11-23 10:05:07` are UTC. */
const instant = (text: string) => `${text.replace(" ", "T")}Z`

export function useSaid() {
  const { t, te, locale } = useI18n()
  const { word, dayAndClock } = useFormat()
  const { what } = useCarried()

  /** An error of ours has words; any other is a failure of the program, and named. */
  const failure: Words = (name) => (te(`failure.${name}`) ? t(`failure.${name}`) : t("said.crash", { error: name }))

  const WORDS: Readonly<Record<string, Words>> = {
    at: (text) => dayAndClock(instant(text)),
    by: (actor) => actor.replace(/^\w+:/, ""),
    command: (code) => word("said.command", code),
    death: (code) => word("said.death", code),
    error: failure,
    kind: what,
    price: (code) => word("priceState", code),
    stage: (code) => word("stage.plain", code).toLowerCase(),
    state: (code) => word("delivery", code).toLowerCase(),
    word: (code) => word("unknown.reason", code),
  }

  /** What no sentence of the office fits: a refusal of the lifecycle, or somebody else's words. */
  function foreign(text: string): string {
    const refusal = refusalIn(locale.value, text)
    const ours = refusal !== text || text in REFUSALS_RU
    return ours ? refusal.replace(/\.$/, "") : t("said.quoted", { text })
  }

  /** For the middle of a line. */
  function spoken(one: Said | null | undefined): string {
    if (!one) return ""
    const key = `said.${one.code ?? ""}`
    if (!one.code || !te(key)) return foreign(one.text)
    const facts = Object.entries(one.facts ?? {})
    const words = Object.fromEntries(facts.map(([name, value]) => [name, WORDS[name]?.(value) ?? value]))
    // A number that differs within a group is left out there, and the plural of many is right.
    const n = Number(one.facts?.n ?? 0)
    return t(key, { ...words, said: spoken(one.inner) }, Number.isNaN(n) ? 0 : n)
  }

  /** For its beginning. */
  function sentence(one: Said | null | undefined): string {
    const text = spoken(one)
    return text.charAt(0).toUpperCase() + text.slice(1)
  }

  return { spoken, sentence }
}
