/** Russian first, English second; a language is loaded when it is spoken. */

import { createI18n } from "vue-i18n"
import type { Locale } from "@/api/types"
import type { Messages } from "./ru"
import { russianPlural } from "./plural"

export const LOCALES: readonly Locale[] = ["ru", "en"]
const REMEMBERED = "orderkeep.locale"

export const i18n = createI18n<[Messages], Locale, false>({
  legacy: false,
  locale: "ru",
  fallbackLocale: "ru",
  messages: {} as Record<Locale, Messages>,
  pluralRules: { ru: russianPlural },
  missingWarn: false,
  fallbackWarn: false,
})

const loaders: Record<Locale, () => Promise<{ default: unknown }>> = {
  ru: () => import("./ru"),
  en: () => import("./en"),
}

export async function speak(locale: Locale): Promise<void> {
  const { global } = i18n
  if (!global.availableLocales.includes(locale)) {
    global.setLocaleMessage(locale, (await loaders[locale]()).default as Messages)
  }
  global.locale.value = locale
  document.documentElement.lang = locale
  localStorage.setItem(REMEMBERED, locale)
}

/** What this browser spoke last; null in one that is new here. */
export function rememberedLocale(): Locale | null {
  const kept = localStorage.getItem(REMEMBERED)
  return LOCALES.find((locale) => locale === kept) ?? null
}
