/** Words that come from the office in both languages: the reader's own is picked here. */

import { useI18n } from "vue-i18n"
import type { Locale, Told } from "@/api/types"

export function useTold() {
  const { locale } = useI18n()
  return (words: Told | null | undefined): string => words?.[locale.value as Locale] ?? words?.en ?? ""
}
