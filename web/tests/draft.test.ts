import { effectScope, type EffectScope } from "vue"
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest"
import { useDraft } from "@/features/submit/draft"

type Body = Record<string, unknown>

/** An office whose answers may get lost: what was asked is done all the same. */
class Office {
  drafts = new Map<string, Body>()
  orders = new Map<string, Body>()
  /** Methods and paths whose answers are lost. */
  lost: string[] = []
  /** Whether what is lost never arrives at all. */
  refuses = false
  private byKey = new Map<string, string>()
  private last = 0

  readonly fetch = async (address: string, init: RequestInit = {}): Promise<Response> => {
    const asked = `${init.method ?? "GET"} ${address.replace("/office/v1", "")}`
    const body = init.body ? (JSON.parse(String(init.body)) as Body) : {}
    const cut = this.lost.some((one) => asked.startsWith(one))
    if (cut && this.refuses) throw new TypeError("the line was cut")
    const [status, said] = this.done(asked, body, new Headers(init.headers).get("Idempotency-Key") ?? "")
    if (cut) throw new TypeError("the line was cut")
    return new Response(JSON.stringify(said), { status })
  }

  private done(asked: string, body: Body, key: string): [number, unknown] {
    const no = /OK-\d+/.exec(asked)?.[0] ?? ""
    if (asked.startsWith("GET /drafts/")) return this.one(no)
    if (asked.startsWith("GET /drafts")) return [200, this.page(no)]
    if (asked === "POST /drafts") return [201, this.kept(this.drafts, this.number(), body)]
    if (asked === "POST /orders") return [201, this.once(key, body)]
    if (asked.startsWith("GET /orders/"))
      return [200, { order: { order_no: no, stage: this.orders.has(no) ? "SUBMITTED" : "INITIATED" } }]
    if (!this.drafts.has(no)) return [409, { type: "/problems/transition-refused" }]
    if (asked.startsWith("PUT /drafts/")) return [200, this.kept(this.drafts, no, body)]
    this.drafts.delete(no)
    return [200, asked.endsWith("/submit") ? this.kept(this.orders, no, body) : {}]
  }

  private one = (no: string): [number, unknown] =>
    this.drafts.has(no)
      ? [200, { order_no: no, version: 1, body: this.drafts.get(no), files: {} }]
      : [404, {}]
  /** Two on a page, the newest first. */
  private page(after: string) {
    const all = [...this.drafts.keys()].reverse()
    const start = all.indexOf(after) + 1
    const items = all.slice(start, start + 2).map((no) => this.one(no)[1])
    return { items, total: all.length, next: start + 2 < all.length ? (all[start + 1] ?? null) : null }
  }
  private number = () => `OK-${++this.last}`
  private kept(where: Map<string, Body>, order_no: string, body: Body) {
    where.set(order_no, body)
    return { order_no, version: 1 }
  }
  private once(key: string, body: Body) {
    const no = this.byKey.get(key) ?? this.number()
    this.byKey.set(key, no)
    return this.kept(this.orders, no, body)
  }
}

let office: Office
let page: EffectScope

beforeEach(() => {
  vi.useFakeTimers()
  office = new Office()
  vi.stubGlobal("fetch", office.fetch)
})
afterEach(() => {
  page.stop()
  vi.useRealTimers()
})

/** The page of a new order; opened again after a crash, this browser has what it kept. */
function opened(wanted = ""): ReturnType<typeof useDraft> {
  page = effectScope()
  const draft = page.run(() => useDraft("anna", (fault) => fault.message, wanted))
  if (!draft) throw new Error("the page is closed")
  return draft
}
async function crashed(wanted = ""): Promise<ReturnType<typeof useDraft>> {
  const kept = { ...localStorage }
  page.stop()
  vi.clearAllTimers()
  await vi.advanceTimersByTimeAsync(0)
  for (const [name, value] of Object.entries(kept)) localStorage.setItem(name, String(value))
  return opened(wanted)
}
const aMoment = () => vi.advanceTimersByTimeAsync(1_000)
const later = () => vi.advanceTimersByTimeAsync(30_000)

describe("when the answer to a draft's opening is lost", () => {
  test("it is not opened a second time", async () => {
    office.lost = ["POST /drafts"]
    const { draft } = opened()
    draft.name = "Анна"
    await aMoment()
    office.lost = []
    await later()

    expect([...office.drafts]).toEqual([["OK-1", { customer: { name: "Анна" } }]])
  })

  test("nor with what was written since", async () => {
    office.lost = ["POST /drafts"]
    const { draft, safe } = opened()
    draft.name = "Анна"
    await aMoment()
    office.lost = []
    draft.note = "синяя коробка"
    await later()

    expect([...office.drafts]).toEqual([["OK-1", { customer: { name: "Анна" }, note: "синяя коробка" }]])
    expect(safe.value).toBe(true)
  })

  test("nor when others were begun since, more than one page of them", async () => {
    office.lost = ["POST /drafts"]
    opened().draft.name = "Анна"
    await aMoment()
    for (const no of ["OK-91", "OK-92", "OK-93"]) office.drafts.set(no, { note: no })
    office.lost = []
    await later()

    expect(office.drafts.size).toBe(4)
  })

  test("nor after the browser has crashed", async () => {
    office.lost = ["POST /drafts"]
    opened().draft.name = "Анна"
    await aMoment()
    const { draft } = await crashed()
    office.lost = []
    await later()

    expect(draft.name).toBe("Анна")
    expect([...office.drafts.keys()]).toEqual(["OK-1"])
  })

  test("sending makes one order of it, and leaves no draft behind", async () => {
    office.lost = ["POST /drafts"]
    const { draft, submit } = opened()
    draft.name = "Анна"
    await aMoment()
    office.lost = []

    expect(await submit()).toMatchObject({ order_no: "OK-1" })
    expect([[...office.orders.keys()], office.drafts.size]).toEqual([["OK-1"], 0])
  })

  test("throwing it away throws it away at the office too", async () => {
    office.lost = ["POST /drafts"]
    const { draft, forget } = opened()
    draft.name = "Анна"
    await aMoment()
    office.lost = []
    await forget()

    expect(office.drafts.size).toBe(0)
  })
})

describe("when what is done in place of saving fails", () => {
  test.each(["forget", "submit"] as const)("%s lets saving go on by itself", async (what) => {
    office.lost = ["POST /drafts", "GET /drafts"]
    office.refuses = true
    const made = opened()
    made.draft.name = "Анна"
    await aMoment()
    await expect(made[what]()).rejects.toMatchObject({ lost: true })
    office.lost = []
    await vi.advanceTimersByTimeAsync(10_000)

    expect(office.drafts.get("OK-1")).toEqual({ customer: { name: "Анна" } })
    expect(made.safe.value).toBe(true)
  })
})

describe("when the answer to sending is lost", () => {
  test("a second press finds the order that the draft has become", async () => {
    const { draft, submit } = opened()
    draft.name = "Анна"
    await aMoment()
    office.lost = ["POST"]
    await expect(submit()).rejects.toMatchObject({ lost: true })
    office.lost = []

    expect(await submit()).toEqual({ order_no: "OK-1" })
    expect([...office.orders.keys()]).toEqual(["OK-1"])
  })

  test("so does a press after the browser has crashed", async () => {
    const before = opened()
    before.draft.name = "Анна"
    await aMoment()
    office.lost = ["POST"]
    await before.submit().catch(() => undefined)
    const { submit } = await crashed()
    office.lost = []
    await later()

    expect(await submit()).toEqual({ order_no: "OK-1" })
    expect([[...office.orders.keys()], office.drafts.size]).toEqual([["OK-1"], 0])
  })

  test.each([
    ["at once", false],
    ["after the browser has crashed", true],
  ])("an order that never was a draft is sent again under its key: %s", async (_when, crash) => {
    let screen = opened()
    screen.draft.name = "Анна"
    office.lost = ["POST"]
    await screen.submit().catch(() => undefined)
    if (crash) screen = await crashed()
    office.lost = []
    await later()

    expect(office.drafts.size).toBe(0) // A draft of it would become a second order.
    expect(await screen.submit()).toMatchObject({ order_no: "OK-1" })
    expect([[...office.orders.keys()], office.drafts.size]).toEqual([["OK-1"], 0])
  })
})

describe("a new order", () => {
  test("is empty however many drafts there are", async () => {
    office.drafts.set("OK-7", { customer: { name: "Another day" } })
    const { draft, untouched, savedAt } = opened()
    await later()

    expect([draft.name, untouched.value, savedAt.value]).toEqual(["", true, null])
  })

  test("is what this browser is in the middle of, also when all of it is at the office", async () => {
    const before = opened()
    before.draft.name = "Анна"
    await aMoment()
    expect(before.kept.value).toBe(true)
    const { draft } = await crashed()
    await aMoment()

    expect(draft.name).toBe("Анна")
    draft.note = "синяя коробка"
    await aMoment()
    expect([...office.drafts.keys()]).toEqual(["OK-1"])
  })

  test("is empty when that was sent from another browser", async () => {
    opened().draft.name = "Анна"
    await aMoment()
    office.drafts.clear()
    const { draft, unopened } = await crashed()
    await later()

    expect([draft.name, unopened.value]).toEqual(["", null])
  })

  test("is begun beside one that is set aside", async () => {
    const { draft, setAside } = opened()
    draft.name = "Анна"
    await aMoment()
    await setAside()
    await aMoment()
    expect(draft.name).toBe("")
    draft.name = "Вера"
    await aMoment()

    expect([...office.drafts.values()]).toEqual([
      { customer: { name: "Анна" } },
      { customer: { name: "Вера" } },
    ])
  })

  test("is not set aside while only this browser has it", async () => {
    const { draft, setAside } = opened()
    office.lost = ["POST /drafts"]
    office.refuses = true
    draft.name = "Анна"
    await aMoment()
    await setAside()

    expect(draft.name).toBe("Анна")
    office.lost = []
    await later()
    expect([...office.drafts.keys()]).toEqual(["OK-1"])
  })
})

describe("the draft that is asked for by its number", () => {
  const two = () => {
    office.drafts.set("OK-1", { customer: { name: "First" } })
    office.drafts.set("OK-2", { customer: { name: "Second" } })
  }

  test("is the one that is opened, not the newest", async () => {
    two()
    const { draft, unopened } = opened("OK-2")
    await aMoment()

    expect(draft.name).toBe("Second")
    expect(unopened.value).toBeNull()
    draft.note = "gift"
    await aMoment()
    expect(office.drafts.get("OK-2")).toMatchObject({ note: "gift" })
    expect(office.drafts.get("OK-1")).toEqual({ customer: { name: "First" } })
  })

  test("is turned to from another, which is kept", async () => {
    two()
    const { draft, turnTo } = opened("OK-1")
    await aMoment()
    draft.note = "gift"
    await turnTo("OK-2")
    await aMoment()

    expect([draft.name, draft.note]).toEqual(["Second", ""])
    expect(office.drafts.get("OK-1")).toMatchObject({ note: "gift" })
  })

  test("waits until what is only in this browser is at the office", async () => {
    two()
    const before = opened("OK-1")
    await aMoment()
    office.lost = ["PUT /drafts"]
    office.refuses = true
    before.draft.note = "not at the office yet"
    await aMoment()
    const away = await crashed("OK-2")
    await aMoment()
    expect(away.draft.note).toBe("not at the office yet")
    expect(away.unopened.value).toBe("anotherFirst")

    office.lost = []
    office.refuses = false
    const { draft } = await crashed("OK-2")
    await aMoment()
    expect(draft.name).toBe("Second")
    expect(office.drafts.get("OK-1")).toMatchObject({ note: "not at the office yet" })
    expect(office.drafts.size).toBe(2)
  })

  test("is said to be gone when it is nobody's or another's", async () => {
    two()
    const { draft, unopened } = opened("OK-9")
    await aMoment()

    expect(unopened.value).toBe("draftGone")
    expect(draft.name).toBe("")
  })

  test("is asked for again while the office is away", async () => {
    two()
    office.lost = ["GET /drafts"]
    const { draft, unopened } = opened("OK-2")
    await aMoment()
    expect(unopened.value).toBeNull()

    office.lost = []
    await later()
    expect(draft.name).toBe("Second")
  })
})
