import { effectScope } from "vue"
import { afterEach, describe, expect, test, vi } from "vitest"
import { handleKey, meaningsOf, useShortcuts, type Shortcut } from "@/shared/shortcuts"

const press = (key: string, code: string, more: KeyboardEventInit = {}) => {
  const event = new KeyboardEvent("keydown", { key, code, cancelable: true, bubbles: true, ...more })
  Object.defineProperty(event, "target", { value: document.body })
  handleKey(event)
  return event
}

describe("a key means the same in every layout", () => {
  test.each([
    ["Latin", "c", "KeyC", "c"],
    ["Russian", "с", "KeyC", "c"],
    ["Dvorak, by its letter", "j", "KeyC", "j"],
    ["capital", "C", "KeyC", "c"],
    ["Russian letter on a sign's place is no sign", "ж", "Semicolon", "ж"],
  ])("%s", (_layout, key, code, meaning) => {
    expect(meaningsOf({ key, code, shiftKey: false })).toContain(meaning)
  })

  test("the question mark is found where Russian keyboards have a comma", () => {
    expect(meaningsOf({ key: ",", code: "Slash", shiftKey: true })).toContain("?")
    expect(meaningsOf({ key: "?", code: "Digit7", shiftKey: true })).toEqual(["?"])
  })
})

describe("the registry", () => {
  let scope = effectScope()
  const listen = (...shortcuts: Shortcut[]) => scope.run(() => useShortcuts(shortcuts))
  const a = (keys: string, run: () => void, more: Partial<Shortcut> = {}): Shortcut => ({
    keys,
    run,
    group: "board",
    label: () => keys,
    ...more,
  })
  afterEach(() => {
    scope.stop()
    scope = effectScope()
  })

  test("runs a key, and forgets it with the screen", () => {
    const run = vi.fn()
    listen(a("n", run))
    press("т", "KeyN")
    scope.stop()
    press("т", "KeyN")
    expect(run).toHaveBeenCalledOnce()
  })

  test("understands G then a letter", () => {
    const run = vi.fn()
    const other = vi.fn()
    listen(a("g b", run), a("b", other))
    press("п", "KeyG")
    press("и", "KeyB")
    expect(run).toHaveBeenCalledOnce()
    expect(other).not.toHaveBeenCalled()
  })

  test("keeps silent while a person types", () => {
    const run = vi.fn()
    listen(a("n", run))
    const input = document.createElement("input")
    const event = new KeyboardEvent("keydown", { key: "n", code: "KeyN" })
    Object.defineProperty(event, "target", { value: input })
    handleKey(event)
    expect(run).not.toHaveBeenCalled()
  })

  test("lets a key that does not apply fall through", () => {
    const run = vi.fn()
    listen(a("c", run, { when: () => false }))
    expect(press("c", "KeyC").defaultPrevented).toBe(false)
    expect(run).not.toHaveBeenCalled()
  })
})
