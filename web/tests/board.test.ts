import { screen, waitFor, within } from "@testing-library/vue"
import userEvent from "@testing-library/user-event"
import { describe, expect, test } from "vitest"
import BoardPage from "@/features/board/BoardPage.vue"
import { Refusal, aPerson, aRow, line, openOffice, visit, type Handler } from "./office"

const NUMBERS = ["OK-000401", "OK-000402", "OK-000403"]
const threeRows = () => NUMBERS.map((order_no) => aRow({ order_no }))
const aBoard = (items = threeRows()): Record<string, Handler> => ({
  "GET /board": () => ({ items, next: null, as_of: "2026-11-23T12:04:31Z" }),
})
const shownNumbers = () =>
  within(screen.getByRole("grid"))
    .getAllByRole("link")
    .map((link) => link.textContent)
const onBoard = () => visit(BoardPage, "/board?view=table", "/board")

describe("an operator at the board", () => {
  test("sees the orders in their order, and how many there are", async () => {
    openOffice(aBoard())

    await onBoard()

    await waitFor(() => expect(shownNumbers()).toEqual(NUMBERS))
    expect(screen.getByRole("grid")).toHaveAttribute("aria-rowcount", "4")
  })

  test("claims with C in the Russian layout, and it shows as done when the server says so", async () => {
    let release: (value: unknown) => void = () => undefined
    const claimed = aRow({
      order_no: "OK-000401",
      version: 7,
      claim: { operator: "anna", operator_name: "Анна Петрова" },
      can: ["start"],
    })
    openOffice({
      ...aBoard(),
      "POST /orders/OK-000401/claim": () => new Promise((resolve) => (release = resolve)),
      "GET /orders/OK-000401": () => ({
        order: { ...claimed, due: null },
        can: ["start", "release"],
        journey: [],
        hops: [],
      }),
    })
    await onBoard()
    await waitFor(() => shownNumbers())

    await userEvent.keyboard("{ArrowDown}")
    window.dispatchEvent(new KeyboardEvent("keydown", { key: "с", code: "KeyC" }))
    await waitFor(() => expect(screen.getByRole("button", { name: "Взять" })).toBeDisabled())
    expect(screen.queryByText("OK-000401: вы взяли")).toBeNull()

    release({ order_no: "OK-000401", version: 7, stage: "MANUFACTURING_APPROVED", pending: false })
    expect((await screen.findAllByText("OK-000401: вы взяли")).length).toBeGreaterThan(0)
    expect(await screen.findByRole("button", { name: "Начать" })).toBeInTheDocument()
  })

  test("takes a claim back within ten seconds", async () => {
    const office = openOffice({
      ...aBoard(),
      "POST /board/take-next": () => ({
        order_no: "OK-000402",
        row: aRow({ order_no: "OK-000402", version: 7 }),
        why: [{ code: "waiting", days: 9 }],
      }),
      "POST /orders/OK-000402/release": () => ({
        order_no: "OK-000402",
        version: 8,
        stage: "MANUFACTURING_APPROVED",
        pending: false,
      }),
    })
    await onBoard()
    await waitFor(() => shownNumbers())

    await userEvent.click(screen.getByRole("button", { name: /Взять следующий/ }))
    await userEvent.click(await screen.findByRole("button", { name: "Вернуть" }))

    await waitFor(() =>
      expect(office.calls.find((call) => call.path.endsWith("/release"))?.body).toMatchObject({ version: 7 }),
    )
  })

  test("keeps each row where it stands while orders change, and finds new ones in the pill", async () => {
    openOffice(aBoard())
    await onBoard()
    await waitFor(() => shownNumbers())

    line.say("row", aRow({ order_no: "OK-000402", version: 9, priority: 1, summary: "pt950 × 7" }))
    line.say("row", aRow({ order_no: "OK-000999", version: 1 }))

    expect(await screen.findByText("pt950 × 7")).toBeInTheDocument()
    expect(shownNumbers()).toEqual(NUMBERS)
    expect(await screen.findByRole("button", { name: "1 новый" })).toBeInTheDocument()
  })

  test("is not shown an older word that was overtaken on its way", async () => {
    openOffice(aBoard())
    await onBoard()
    await waitFor(() => shownNumbers())

    line.say("row", aRow({ order_no: "OK-000401", version: 2, summary: "вчера" }))

    expect(screen.queryByText("вчера")).toBeNull()
  })

  test("reads how old the data is when the line is lost", async () => {
    openOffice(aBoard())
    await onBoard()
    await waitFor(() => shownNumbers())

    line.drop()

    expect(await screen.findByText(/связь потеряна, показаны последние/)).toBeInTheDocument()
    expect(shownNumbers()).toEqual(NUMBERS)

    await userEvent.click(screen.getByRole("button", { name: "Попробовать ещё раз" }))
    line.say("hello", {})
    await waitFor(() => expect(screen.queryByText(/связь потеряна/)).toBeNull())
  })

  test("reads what went wrong, and tries again", async () => {
    let works = false
    openOffice({ "GET /board": () => (works ? { items: threeRows(), next: null } : new Refusal(503, {})) })
    await onBoard()

    expect(await screen.findByRole("alert")).toHaveTextContent("Не получилось загрузить")
    works = true
    await userEvent.click(screen.getByRole("button", { name: "Попробовать ещё раз" }))

    await waitFor(() => expect(shownNumbers()).toEqual(NUMBERS))
  })

  test("reads that nothing matches, and clears the filter", async () => {
    openOffice({ "GET /board": ({ query }) => ({ items: query.get("risk") ? [] : threeRows(), next: null }) })
    const { router } = await visit(BoardPage, "/board?view=table&risk=late", "/board")

    expect(await screen.findByText("По этим условиям заказов нет")).toBeInTheDocument()
    await userEvent.click(screen.getAllByRole("button", { name: "Сбросить" })[0] as HTMLElement)

    await waitFor(() => expect(shownNumbers()).toEqual(NUMBERS))
    expect(router.currentRoute.value.query.risk).toBeUndefined()
  })

  test("learns that someone was faster", async () => {
    openOffice({
      ...aBoard(),
      "POST /orders/OK-000401/claim": () => new Refusal(409, { type: "/problems/stale-order", detail: "x" }),
    })
    await onBoard()
    await waitFor(() => shownNumbers())

    await userEvent.keyboard("{ArrowDown}c")

    expect((await screen.findAllByText(/только что изменил кто-то другой/)).length).toBeGreaterThan(0)
  })

  test("without the right to work has no button to take the next", async () => {
    openOffice(aBoard(), aPerson({ role: "support", can: [] }))
    await onBoard()
    await waitFor(() => shownNumbers())

    expect(screen.queryByRole("button", { name: /Взять следующий/ })).toBeNull()
  })
})

test("a hundred thousand orders load page by page and only a window is drawn", async () => {
  const all = 100_000
  openOffice({
    "GET /board": ({ query }) => {
      const from = Number(query.get("after") ?? 0)
      return {
        items: Array.from({ length: 50 }, (_, index) => aRow({ order_no: `OK-${from + index}` })),
        next: from + 50 < all ? String(from + 50) : null,
      }
    },
  })
  await onBoard()

  const grid = await screen.findByRole("grid")
  await waitFor(() => expect(within(grid).getAllByRole("row").length).toBeGreaterThan(5))
  expect(grid).toHaveAttribute("aria-rowcount", "-1")
  expect(within(grid).getAllByRole("row").length).toBeLessThan(60)
})
