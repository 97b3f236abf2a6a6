import { screen } from "@testing-library/vue"
import { describe, expect, it } from "vitest"
import DeadLettersPage from "@/features/support/DeadLettersPage.vue"
import { NOON, aPerson, openOffice, visit } from "./office"

const GROUP = {
  fingerprint: "0123456789abcdef",
  source: "inbox",
  consumer: "quoting",
  kind: "price.wanted",
  cause: "Broken",
  said: { text: "Broken" },
  count: 2,
  orders: 2,
  first_at: NOON,
  last_at: NOON,
  parked: false,
  replayed: 0,
  trend: Array.from({ length: 14 }, () => 0),
  known: null,
}
const BOTH = {
  groups: [GROUP, { ...GROUP, parked: true }],
  more_groups: false,
  work_orders: [],
  retrying: [],
  replays: [],
  four_eyes_above: 100,
  as_of: NOON,
}

describe("dead letters", () => {
  it.each([
    ["0123456789abcdef", 0],
    ["0123456789abcdef parked", 1],
  ])("open the row %s alone, though what is parked has the same cause", async (row, place) => {
    openOffice({ "GET /dead-letters": () => BOTH }, aPerson({ role: "support" }))
    await visit(DeadLettersPage, `/dead-letters?group=${encodeURIComponent(row)}`)

    const [group] = await screen.findAllByRole("button", { name: "Закрыть" })
    const rows = screen.getAllByRole("button", { name: /Закрыть|Посмотреть/ })

    expect(rows.map((one) => one.getAttribute("aria-expanded"))).toEqual(
      [0, 1].map((n) => String(n === place)),
    )
    expect(rows[place]).toBe(group)
  })

  it.each([
    ["0123456789abcdef", true],
    ["0123456789abcdef parked", false],
  ])("keep the row %s open when it is laid aside or taken up again", async (row, parked) => {
    const found = { ...BOTH, groups: [{ ...GROUP, parked }] }
    openOffice({ "GET /dead-letters": () => found }, aPerson({ role: "support" }))
    await visit(DeadLettersPage, `/dead-letters?group=${encodeURIComponent(row)}`)

    const group = await screen.findByRole("button", { name: "Закрыть" })

    expect(group.getAttribute("aria-expanded")).toBe("true")
  })
})
