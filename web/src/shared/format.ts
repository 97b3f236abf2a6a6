/** How instants, spans and money are said. Money is formatted, never computed. */

import { computed } from "vue"
import { useI18n } from "vue-i18n"
import type { Instant, Money } from "@/api/types"

export const MINUTE_S = 60
export const HOUR_S = 60 * MINUTE_S
export const DAY_S = 24 * HOUR_S

const UNPRICED = new Set(["none", "queued", "running", "failed", "manual"])

type When = Instant | Date | null | undefined

const dateOf = (when: When): Date | null => (when ? new Date(when) : null)

export function sameDay(a: Date, b: Date): boolean {
  return a.toDateString() === b.toDateString()
}

const shapes = new Map<string, Intl.DateTimeFormat>()

/** Making one takes longer than a row has: each is made once. */
function shape(tag: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const name = tag + JSON.stringify(options)
  const known = shapes.get(name) ?? new Intl.DateTimeFormat(tag, options)
  shapes.set(name, known)
  return known
}

export function useFormat() {
  const { t, te, locale } = useI18n()
  const tag = computed(() => (locale.value === "ru" ? "ru-RU" : "en-GB"))

  function part(when: When, options: Intl.DateTimeFormatOptions): string {
    const date = dateOf(when)
    return date ? shape(tag.value, options).format(date) : t("common.none")
  }

  const clock = (when: When) => part(when, { hour: "2-digit", minute: "2-digit" })
  const clockExact = (when: When) => part(when, { hour: "2-digit", minute: "2-digit", second: "2-digit" })
  const day = (when: When) => part(when, { day: "numeric", month: "short" })
  /** For sentences: a short month's dot would end them. */
  const dayInWords = (when: When) => part(when, { day: "numeric", month: "long" })
  const momentInWords = (when: When) =>
    part(when, { day: "numeric", month: "long", hour: "2-digit", minute: "2-digit" })
  const dayAndClock = (when: When) =>
    part(when, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" })
  const full = (when: When) => part(when, { dateStyle: "long", timeStyle: "short" })

  /** The two largest units, or the largest alone: "2 дн. 4 ч", "35 мин". */
  function span(seconds: number, coarse = false): string {
    const exact = Math.max(0, Math.round(seconds))
    const s = coarse ? exact - (exact % (exact >= DAY_S ? DAY_S : HOUR_S)) || exact : exact
    if (s < MINUTE_S) return t("span.now")
    if (s < HOUR_S) return t("span.minutes", { n: Math.floor(s / MINUTE_S) })
    if (s < DAY_S) return pair("hours", s, HOUR_S, "minutes", MINUTE_S)
    return pair("days", s, DAY_S, "hours", HOUR_S)
  }

  function pair(big: string, s: number, bigS: number, small: string, smallS: number): string {
    const a = t(`span.${big}`, { n: Math.floor(s / bigS) })
    const rest = Math.floor((s % bigS) / smallS)
    const enough = rest === 0 || s >= 10 * bigS
    return enough ? a : t("span.join", { a, b: t(`span.${small}`, { n: rest }) })
  }

  /** Formats the decimal string as it came; the digits are not touched. */
  function money(value: Money | string | null | undefined, currency = "RUB"): string {
    if (!value) return t("common.none")
    const { amount, currency: own } = typeof value === "string" ? { amount: value, currency } : value
    return new Intl.NumberFormat(tag.value, {
      style: "currency",
      currency: own,
      currencyDisplay: "narrowSymbol",
    }).format(
      amount as unknown as number, // A decimal string keeps its digits; the types lag behind.
    )
  }

  /** Money for a gram or a millilitre: it may be less than the smallest coin. */
  const rate = (amount: string, currency: string) =>
    new Intl.NumberFormat(tag.value, {
      style: "currency",
      currency,
      currencyDisplay: "narrowSymbol",
      minimumFractionDigits: 0,
      maximumFractionDigits: 4,
    }).format(amount as unknown as number)

  /** The total, unless it is an earlier price while the next one is being found. */
  function standing(price: { state: string; total?: Money | null } | null | undefined): Money | null {
    return price && !UNPRICED.has(price.state) ? (price.total ?? null) : null
  }

  const number = (value: number | string) =>
    new Intl.NumberFormat(tag.value, { maximumFractionDigits: 3 }).format(value as number)

  const percent = (part: number | string) =>
    new Intl.NumberFormat(tag.value, { style: "percent", maximumFractionDigits: 1 }).format(part as number)

  function size(bytes: number | null | undefined): string {
    if (bytes === null || bytes === undefined) return t("common.none")
    if (bytes < 1024) return `${number(bytes)} ${t("unit.byte")}`
    if (bytes < 1024 ** 2) return `${number(Math.round(bytes / 102.4) / 10)} ${t("unit.kb")}`
    return `${number(Math.round(bytes / 1024 ** 2 / 0.1) / 10)} ${t("unit.mb")}`
  }

  /** The translated word for a code, or the code itself: a new word is shown, never hidden. */
  function word(group: string, code: string | null | undefined): string {
    if (!code) return t("common.none")
    return te(`${group}.${code}`) ? t(`${group}.${code}`) : code
  }

  return {
    clock,
    clockExact,
    day,
    dayInWords,
    momentInWords,
    dayAndClock,
    full,
    span,
    money,
    rate,
    standing,
    number,
    percent,
    size,
    word,
  }
}
