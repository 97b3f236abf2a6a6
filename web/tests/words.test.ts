import { readFileSync } from "node:fs"
import { describe, expect, test } from "vitest"
import en from "@/shared/i18n/en"
import ru from "@/shared/i18n/ru"
import { russianPlural } from "@/shared/i18n/plural"
import { wordingOf } from "@/features/order/sentences"
import { SPECS } from "@/features/order/actions"
import { STAGES } from "@/api/types"

type Tree = { [key: string]: string | Tree }

function leaves(tree: Tree, path = ""): [string, string][] {
  return Object.entries(tree).flatMap(([key, value]) =>
    typeof value === "string"
      ? [[`${path}${key}`, value] as [string, string]]
      : leaves(value, `${path}${key}.`),
  )
}
const russian = new Map(leaves(ru as unknown as Tree))
const english = new Map(leaves(en as unknown as Tree))
const params = (text: string) =>
  [...new Set([...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1]))].sort()

describe("two languages", () => {
  test("say the same things", () => {
    expect([...english.keys()].sort()).toEqual([...russian.keys()].sort())
  })

  test("name the same facts in every sentence", () => {
    const differing = [...russian].filter(
      ([key, text]) => params(text).join() !== params(english.get(key) ?? "").join(),
    )
    expect(differing).toEqual([])
  })

  test("leave nothing untranslated", () => {
    const untranslated = [...english].filter(([, text]) => /[а-яё]/i.test(text))
    expect(untranslated).toEqual([])
  })

  test.each([
    [1, "заказ"],
    [2, "заказа"],
    [4, "заказа"],
    [5, "заказов"],
    [11, "заказов"],
    [14, "заказов"],
    [21, "заказ"],
    [22, "заказа"],
    [112, "заказов"],
    [0, "заказов"],
  ])("count %i as Russians do", (n, word) => {
    expect(["заказ", "заказа", "заказов"][russianPlural(n, 3)]).toBe(word)
  })
})

describe("sentences", () => {
  const source = readFileSync("../src/orderkeep/orders/events.py", "utf8")
  const kinds = [...source.matchAll(/tag="([a-z_.]+)"/g)].map((match) => match[1] as string)

  test("there are kinds to speak of", () => {
    expect(kinds.length).toBeGreaterThan(30)
  })

  test.each(kinds)("%s has one in both languages", (kind) => {
    expect(russian.get(`events.${kind}`)).toBeTruthy()
    expect(english.get(`events.${kind}`)).toBeTruthy()
  })

  test("a fact that changes the meaning changes the sentence", () => {
    for (const wording of [
      wordingOf("order.started", { inferred: true }),
      wordingOf("order.approved", { rule: "r" }),
      wordingOf("order.cancelled", { made: true }),
      wordingOf("price.calculated", {}, "person"),
    ]) {
      expect(russian.has(`events.${wording}`)).toBe(true)
    }
  })
})

describe("messages between systems", () => {
  const read = (path: string) => readFileSync(`../src/orderkeep/${path}`, "utf8")
  const announced = [...read("orders/messages.py").matchAll(/^[A-Z_]+ = "([a-z_.]+)"/gm)]
  const shown = [...read("adapters/sql/board.py").matchAll(/Hop\((?:[^,\n]*, ){3}"([a-z_.]+)"/g)]
  const kinds = [...new Set([...announced, ...shown].map((match) => match[1] as string)), "submission"]

  test("there are kinds to speak of", () => {
    expect(kinds).toEqual(expect.arrayContaining(["work_order.wanted", "floor.word", "price", "work_order"]))
  })

  test.each(kinds)("%s has words in both languages", (kind) => {
    const key = `hops.kind.${kind.replaceAll(".", "_")}`
    expect([russian.get(key), english.get(key)]).not.toContain(undefined)
  })

  const workOrder = read("floor/work_order.py")
  const statuses = /``status``: ``([a-z ]+)``/.exec(workOrder)?.[1]?.split(" ") ?? ["unread"]

  test.each(statuses)("a work order that is %s is said in both languages", (status) => {
    const key = `delivery.${status}`
    expect([russian.get(key), english.get(key)]).not.toContain(undefined)
  })
})

describe("a state", () => {
  const states = [...russian].filter(([key]) => key.startsWith("delivery."))

  test("stands beside a noun of any gender", () => {
    const masculine = /(^|\s)[А-Яа-яё]+(ен|ён|ан|ят|лся)(?=[\s,:]|$)/
    expect(states.filter(([, text]) => masculine.test(text))).toEqual([])
  })
})

describe("vocabulary", () => {
  test.each(Object.keys(SPECS))("the action %s has its button and its outcome", (action) => {
    expect(russian.get(`action.${action}`)).toBeTruthy()
    expect(russian.get(`acted.${action}`)).toBeTruthy()
  })

  test.each([...STAGES])("the stage %s has a word for everyone", (stage) => {
    for (const audience of ["plain", "operator", "seller", "support"])
      expect(russian.get(`stage.${audience}.${stage}`)).toBeTruthy()
  })
})
