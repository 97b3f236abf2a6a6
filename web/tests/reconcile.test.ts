import { screen, waitFor } from "@testing-library/vue"
import userEvent from "@testing-library/user-event"
import { describe, expect, it, vi } from "vitest"
import ReconcilePage from "@/features/support/ReconcilePage.vue"
import { NOON, aPerson, openOffice, visit } from "./office"

const SUPPORT = aPerson({ role: "support", can: ["ledger.view", "ledger.settle"] })
const pass = (row: number, change: object = {}) => ({
  row,
  started_at: NOON,
  by: "person:vera",
  phase: "asked",
  moved_at: NOON,
  ...change,
})
const FIRST = pass(1, { phase: "done", finished_at: NOON, compared: 3, shown: 3 })
const shown = (change: object = {}) => ({
  running: null,
  last: FIRST,
  counts: {},
  items: [],
  next: null,
  every_s: 3600,
  policy: {},
  as_of: NOON,
  ...change,
})
const AGREED = /обе стороны сходятся/i
const COMPARING = /идёт сверка/i

describe("the comparison with the MES", () => {
  it("claims no agreement while it runs, and says of when the last result is", async () => {
    let now: object = shown({ running: pass(2, { phase: "looking", compared: 1, ours: 3 }) })
    openOffice({ "GET /reconciliation": () => now }, SUPPORT)
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] })
    try {
      await visit(ReconcilePage, "/balance/mes")

      expect(await screen.findByText(COMPARING)).toBeVisible()
      expect(screen.getByText(/последний результат: .*23/i)).toBeVisible()
      expect(screen.queryByText(AGREED)).toBeNull()

      now = shown({ last: { ...FIRST, row: 2 } })
      vi.advanceTimersByTime(2_000)

      expect(await screen.findByText(AGREED)).toBeVisible()
      expect(screen.queryByText(COMPARING)).toBeNull()
    } finally {
      vi.useRealTimers()
    }
  })

  it("is under way from the click on, whatever was shown before it", async () => {
    let begin: (value: object) => void = () => undefined
    openOffice(
      {
        "GET /reconciliation": () => shown(),
        "POST /reconciliation/start": () => new Promise((begun) => (begin = begun)),
      },
      SUPPORT,
    )
    await visit(ReconcilePage, "/balance/mes")
    expect(await screen.findByText(AGREED)).toBeVisible()

    await userEvent.click(screen.getByRole("button", { name: /сверить сейчас/i }))
    expect(await screen.findByText(COMPARING)).toBeVisible()
    expect(screen.queryByText(AGREED)).toBeNull()

    // It has begun, and what the page hears is still of before.
    begin(pass(2))
    await waitFor(() => expect(screen.getByRole("button", { name: /сверить сейчас/i })).toBeEnabled())
    expect(screen.getByText(COMPARING)).toBeVisible()
    expect(screen.queryByText(AGREED)).toBeNull()
  })

  it("has nothing to say of a result before the first one", async () => {
    openOffice({ "GET /reconciliation": () => shown({ running: pass(1), last: null }) }, SUPPORT)
    await visit(ReconcilePage, "/balance/mes")

    expect(await screen.findByText(COMPARING)).toBeVisible()
    expect(screen.getByText(/первый результат появится/i)).toBeVisible()
  })
})
