import { beforeEach, describe, expect, test } from "vitest"
import { createApp, defineComponent, h } from "vue"
import type { Said } from "@/api/types"
import { i18n, speak } from "@/shared/i18n"
import { useSaid } from "@/shared/said"

/** What a screen has of the composable. */
function saying(): ReturnType<typeof useSaid> {
  let found: ReturnType<typeof useSaid> | undefined
  const screen = defineComponent(() => {
    found = useSaid()
    return () => h("p")
  })
  createApp(screen).use(i18n).mount(document.createElement("div"))
  if (!found) throw new Error("nothing was mounted")
  return found
}

const refused: Said = {
  text: "the last news is rejected: the CRM refused the news (422): no such client",
  code: "crm_news_because",
  facts: { state: "rejected" },
  inner: {
    text: "the CRM refused the news (422): no such client",
    code: "crm_refused_because",
    facts: { status: "422", quote: "no such client" },
  },
}
const days = (n: string): Said => ({
  text: `nothing has moved for ${n} days; the MES says started`,
  code: "stands",
  facts: { n, status: "started" },
})
const letter = (error: string, inner?: string): Said => ({
  text: inner ? `${error}: ${inner}` : error,
  code: inner ? "failed_saying" : "failed",
  facts: { error },
  ...(inner ? { inner: { text: inner } } : {}),
})

describe("what the office has kept in English, read in Russian", () => {
  beforeEach(() => speak("ru"))

  test("is a Russian sentence around what the other system said itself", () => {
    expect(saying().sentence(refused)).toBe(
      "Последняя новость: отказано, CRM не приняла новость (ответ 422): «no such client»",
    )
  })

  test.each([
    ["1", "1 день без движения, MES говорит «started»"],
    ["3", "3 дня без движения, MES говорит «started»"],
    ["12", "12 дней без движения, MES говорит «started»"],
    ["…", "… дней без движения, MES говорит «started»"],
  ])("counts %s as Russians do", (n, text) => {
    expect(saying().spoken(days(n))).toBe(text)
  })

  test("has words for stages and instants in it", () => {
    const { spoken } = saying()
    const said = { code: "rests_nowhere", facts: { stage: "PRICE_CALCULATED", price: "ready" }, text: "" }

    expect(spoken(said)).toBe("ничто его не движет: цена готова, цена: готова")
    expect(
      spoken({ code: "not_carried", facts: { kind: "price.wanted", at: "2026-11-23 10:05" }, text: "" }),
    ).toMatch(/^«Вопрос о цене» ждёт передачи с 23 нояб\./)
  })

  test("names the refusal that an envelope died of, and knows the lifecycle's sentences", () => {
    const { sentence } = saying()

    expect(sentence(letter("TransitionRefused", "The order is closed."))).toBe(
      "На этом этапе нельзя: заказ уже завершён",
    )
    expect(sentence(letter("MesRejected", "no such alloy"))).toBe("MES отказалась: «no such alloy»")
    expect(sentence(letter("KeyError"))).toBe("Ошибка KeyError")
  })

  test("quotes what is no sentence of ours, also one that a newer office has", () => {
    const { spoken } = saying()

    expect(spoken({ text: "Legierung 925 ist aus" })).toBe("«Legierung 925 ist aus»")
    expect(spoken({ text: "a new one", code: "brand_new", facts: {} })).toBe("«a new one»")
    expect(spoken(null)).toBe("")
  })
})

describe("the same in English", () => {
  beforeEach(() => speak("en"))

  test("quotes others, and not the office", () => {
    const { sentence } = saying()

    expect(sentence(refused)).toBe(
      "The last news: refused, the CRM refused the news (answer 422): “no such client”",
    )
    expect(sentence(letter("TransitionRefused", "The order is closed."))).toBe(
      "Not possible at this stage: The order is closed",
    )
    expect(sentence(days("1"))).toBe("Nothing has moved for 1 day, the MES says “started”")
  })
})
