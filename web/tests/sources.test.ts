import { screen, waitFor } from "@testing-library/vue"
import userEvent from "@testing-library/user-event"
import { describe, expect, it } from "vitest"
import SourcesPage from "@/features/support/SourcesPage.vue"
import { NOON, Refusal, aPerson, openOffice, visit } from "./office"

const SHOP = {
  name: "shop",
  partner: "Магазин",
  home: "mastered",
  road: { kind: "queue", name: "mes.orders" },
  mode: "shadow",
  takes: null,
  since: NOON,
  by: "anna",
  because: "пробуем",
  settling: false,
  seen_at: NOON,
  last_at: "2026-11-23T11:55:00Z",
  trouble: null,
  said: null,
  next: "live",
  back: ["tap", "off"],
  tapped: { mapped: 120, unknown: 2 },
  compared: { same: 118, missing: 1 },
  taken: {},
  left: 0,
  last_difference: {
    number: "S-7",
    at: NOON,
    verdict: "accept",
    why: null,
    state: "missing",
    detail: "accepted here; the MES does not have it",
    said: { text: "accepted here; the MES does not have it", code: "shadow_not_made" },
    mes_id: null,
  },
}
const answer = (change: object = {}, may_move = true) => ({
  at: NOON,
  may_move,
  items: [{ ...SHOP, ...change }],
})

describe("present systems", () => {
  it("show how far each is, what was compared and what differed last", async () => {
    openOffice({ "GET /sources": () => answer() }, aPerson({ role: "admin" }))
    await visit(SourcesPage, "/sources")

    expect(await screen.findByRole("heading", { name: "shop" })).toBeVisible()
    expect(screen.getByText("слушаем и сравниваем")).toBeVisible()
    expect(screen.getByText(/совпало/)).toHaveTextContent("118")
    expect(screen.getByText(/S-7/)).toHaveTextContent(/пропал/)
    expect(screen.getByText(/5 мин/)).toBeVisible()
  })

  it("go a step only with a reason, and then show where they are", async () => {
    const office = openOffice(
      {
        "GET /sources": () => answer(),
        "POST /sources/shop/step": () =>
          answer({ mode: "live", takes: "original", next: null, back: ["back"] }),
      },
      aPerson({ role: "admin" }),
    )
    await visit(SourcesPage, "/sources")
    expect(await screen.findByRole("button", { name: "Начать приём" })).toBeDisabled()

    await userEvent.type(screen.getByRole("textbox", { name: "Причина" }), "всё совпало")
    await userEvent.click(screen.getByRole("button", { name: "Начать приём" }))

    await waitFor(() =>
      expect(office.calls.find(({ method }) => method === "POST")?.body).toEqual({
        to: "live",
        reason: "всё совпало",
      }),
    )
    expect(await screen.findByRole("button", { name: "Вернуть" })).toBeVisible()
  })

  it("say when the way back is at its end", async () => {
    openOffice({ "GET /sources": () => answer({ mode: "back", settling: true, next: null }) })
    const { unmount } = await visit(SourcesPage, "/sources")
    expect(await screen.findByText(/доделываем/)).toBeVisible()
    unmount()

    openOffice({ "GET /sources": () => answer({ mode: "back", settling: false, next: null }) })
    await visit(SourcesPage, "/sources")
    expect(await screen.findByText(/можно запускать/)).toBeVisible()
  })

  it("ask whether the old road of a database is closed", async () => {
    openOffice(
      { "GET /sources": () => answer({ road: { kind: "database", name: "id" } }) },
      aPerson({ role: "admin" }),
    )
    await visit(SourcesPage, "/sources")

    expect(await screen.findByRole("checkbox", { name: /прежний путь закрыт/i })).not.toBeChecked()
  })

  it("go live only once the comparison has looked into a database", async () => {
    const database = { road: { kind: "database", name: "id" } }
    const before = "2026-11-23T11:00:00Z"
    openOffice({ "GET /sources": () => answer({ ...database, seen_at: before }) }, aPerson({ role: "admin" }))
    const { unmount } = await visit(SourcesPage, "/sources")
    await userEvent.type(await screen.findByRole("textbox", { name: "Причина" }), "всё совпало")
    await userEvent.click(screen.getByRole("checkbox"))

    expect(screen.getByText(/ещё не заглядывало/)).toBeVisible()
    expect(screen.getByRole("button", { name: "Начать приём" })).toBeDisabled()
    unmount()

    openOffice({ "GET /sources": () => answer(database) }, aPerson({ role: "admin" }))
    await visit(SourcesPage, "/sources")
    await userEvent.type(await screen.findByRole("textbox", { name: "Причина" }), "всё совпало")
    await userEvent.click(screen.getByRole("checkbox"))
    expect(screen.getByRole("button", { name: "Начать приём" })).toBeEnabled()
  })

  it("say how many orders are not taken yet, and what they wait for", async () => {
    openOffice({ "GET /sources": () => answer({ mode: "live", takes: "rows", left: 3 }) })
    await visit(SourcesPage, "/sources")

    expect(await screen.findByText(/Пока не приняты: 3/)).toHaveTextContent(/прежнего пути/)
  })

  it("are only shown to those who may not move them, with their trouble", async () => {
    openOffice({ "GET /sources": () => answer({ trouble: "ACCESS_REFUSED", said: { text: "ACCESS_REFUSED" } }, false) })
    await visit(SourcesPage, "/sources")

    expect(await screen.findByText(/ACCESS_REFUSED/)).toBeVisible()
    expect(screen.queryByRole("button", { name: "Начать приём" })).toBeNull()
  })

  it("say that there are none, and that they could not be loaded", async () => {
    openOffice({ "GET /sources": () => ({ at: NOON, may_move: true, items: [] }) })
    const { unmount } = await visit(SourcesPage, "/sources")
    expect(await screen.findByText(/не настроены/)).toBeVisible()
    unmount()

    openOffice({ "GET /sources": () => new Refusal(503, { type: "/problems/busy", status: 503 }) })
    await visit(SourcesPage, "/sources")
    expect(await screen.findByRole("alert")).toBeVisible()
  })
})
