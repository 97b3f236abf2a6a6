/** What materials and pieces are called. The book is asked for once; until then codes are shown. */

import { shallowRef } from "vue"
import { useI18n } from "vue-i18n"
import { orders } from "@/api/office"
import type { Catalogue } from "@/api/types"

type Titles = ReadonlyMap<string, Record<string, string> | string>

const titles = shallowRef<Titles>(new Map())
let asked: Promise<void> | null = null

/** Takes the names of a book that has just been read. */
export function learn({ materials, skus }: Pick<Catalogue, "materials" | "skus">): void {
  titles.value = new Map([
    ...materials.map((one) => [one.code, one.title] as const),
    ...skus.map((one) => [one.sku, one.title] as const),
  ])
}

function ask(): void {
  asked ??= orders
    .catalogue()
    .then(learn)
    .catch(() => {
      asked = null // Codes are shown meanwhile; the next page asks again.
    })
}

/** A space at which no line ends: a piece and its number stay together. */
const KEPT = "\u00a0"
const PART = /([\w.-]+) × (\d+)/g

export function useTitles() {
  const { locale } = useI18n()
  ask()

  /** The title of a material or a piece, or its code where the book knows none. */
  function titled(code: string | null | undefined): string {
    const title = titles.value.get(code ?? "")
    if (title === undefined) return code ?? ""
    return typeof title === "string" ? title : (title[locale.value] ?? Object.values(title)[0] ?? code ?? "")
  }

  /** `ag925 × 2, band-1 × 1` in words. */
  const pieces = (summary: string) =>
    summary.replace(PART, (_, code: string, n: string) => `${titled(code)}${KEPT}×${KEPT}${n}`)

  return { titled, pieces }
}
