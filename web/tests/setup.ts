import "@testing-library/jest-dom/vitest"
import { cleanup } from "@testing-library/vue"
import { afterEach, vi } from "vitest"
import { createApp } from "vue"
import { useToast } from "@nuxt/ui/composables/useToast"
import { question } from "@/features/order/actions"

/** jsdom has no layout and no live line; the screens only need them to be there. */
class Watching {
  observe(): void {}
  unobserve(): void {}
  disconnect(): void {}
}

vi.stubGlobal("ResizeObserver", Watching)
vi.stubGlobal("IntersectionObserver", Watching)
window.matchMedia = (query: string) =>
  ({
    matches: false,
    media: query,
    onchange: null,
    addEventListener() {},
    removeEventListener() {},
    addListener() {},
    removeListener() {},
    dispatchEvent: () => false,
  }) as MediaQueryList
Element.prototype.scrollIntoView = () => undefined
Element.prototype.hasPointerCapture = () => false

afterEach(() => {
  cleanup()
  createApp({}).runWithContext(() => useToast().clear())
  question.value = null
  document.body.removeAttribute("style")
  localStorage.clear()
})
