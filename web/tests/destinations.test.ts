import { screen, waitFor } from "@testing-library/vue"
import userEvent from "@testing-library/user-event"
import { describe, expect, it } from "vitest"
import DestinationsPage from "@/features/support/DestinationsPage.vue"
import DestinationBar from "@/shared/DestinationBar.vue"
import { NOON, aPerson, openOffice, visit } from "./office"

const MES = {
  name: "mes",
  title: "МЕС",
  condition: "open",
  since: null,
  until: null,
  by: null,
  why: null,
  waiting: 3,
  waiting_more: false,
  most: 8,
}
const PAUSED = { ...MES, condition: "paused", since: NOON, by: "hanna", why: "инвентаризация" }
const answer = (one: object, may_pause = true) => ({ at: NOON, may_pause, items: [one] })

describe("foreign systems", () => {
  it("are paused with a reason, and then say who did it and why", async () => {
    const office = openOffice(
      {
        "GET /destinations": () => answer(MES),
        "POST /destinations/mes/pause": () => answer(PAUSED),
      },
      aPerson({ role: "head" }),
    )
    await visit(DestinationsPage, "/destinations")

    await userEvent.type(await screen.findByRole("textbox", { name: /причина/i }), "инвентаризация")
    await userEvent.click(screen.getByRole("button", { name: /приостановить/i }))

    await waitFor(() =>
      expect(office.calls.find(({ method }) => method === "POST")?.body).toEqual({
        reason: "инвентаризация",
      }),
    )
    expect(await screen.findByText(/hanna.*инвентаризация/)).toBeVisible()
    expect(screen.getByRole("button", { name: /возобновить/i })).toBeVisible()
  })

  it("are only shown to those who may not pause them", async () => {
    openOffice({ "GET /destinations": () => answer(MES, false) })
    await visit(DestinationsPage, "/destinations")

    expect(await screen.findByRole("heading", { name: "МЕС" })).toBeVisible()
    expect(screen.queryByRole("button", { name: /приостановить/i })).toBeNull()
  })

  it("say on every screen that nothing is sent, and nothing when all is well", async () => {
    let now: object = PAUSED
    openOffice({ "GET /destinations": () => answer(now) })
    const { unmount } = await visit(DestinationBar, "/board")
    expect(await screen.findByRole("status")).toHaveTextContent(/МЕС:.*приостановлен.*hanna/i)
    unmount()

    now = MES
    await visit(DestinationBar, "/board")
    await waitFor(() => expect(screen.queryByRole("status")).toBeNull())
  })
})
