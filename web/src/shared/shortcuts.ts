/** One registry of keys: it runs them, in any keyboard layout, and renders the `?` sheet. */

import { onScopeDispose, shallowReactive } from "vue"

export type ShortcutGroup = "everywhere" | "pages" | "board" | "row" | "order" | "approvals"

export interface Shortcut {
  /** One key, or a sequence such as `g b`. Latin letters in lower case, or `Enter`, `Escape`, `?`. */
  keys: string
  group: ShortcutGroup
  label: () => string
  run: () => void
  /** Asked at the press; a key that does not apply falls through. */
  when?: () => boolean
  /** Works while typing too, as Escape and Ctrl+K do. */
  whileTyping?: boolean
}

const registry = shallowReactive(new Set<Shortcut>())
const SEQUENCE_MS = 1_200
let prefix: { key: string; at: number } | null = null

/** The keys work as long as the component that asked for them lives. */
export function useShortcuts(shortcuts: Shortcut[]): void {
  shortcuts.forEach((shortcut) => registry.add(shortcut))
  onScopeDispose(() => shortcuts.forEach((shortcut) => registry.delete(shortcut)))
}

export function allShortcuts(): ReadonlySet<Shortcut> {
  return registry
}

const BY_CODE: Record<string, string> = { Slash: "/", Period: ".", Comma: ",", Backquote: "`" }

/**
 * What the press may mean: the letter if it is Latin (so Dvorak works), else the key's place
 * (so the Russian layout works). Signs mean both, since layouts move them about.
 */
export function meaningsOf(event: Pick<KeyboardEvent, "key" | "code" | "shiftKey">): string[] {
  const { key, code } = event
  if (/^[a-z]$/i.test(key) || key.length > 1) return [key.length > 1 ? key : key.toLowerCase()]
  if (/^Key[A-Z]$/.test(code) && /\p{L}/u.test(key)) return [code.slice(3).toLowerCase()]
  return [...new Set([key, placed(code, event.shiftKey)])].filter((meaning) => meaning !== "")
}

function placed(code: string, shift: boolean): string {
  if (code === "Slash" && shift) return "?"
  return /^Digit\d$/.test(code) && !shift ? code.slice(5) : (BY_CODE[code] ?? "")
}

export function handleKey(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.altKey || event.isComposing) return
  const meanings = meaningsOf(event).map((key) => (ctrl(event) ? `Ctrl+${key}` : key))
  const found = find(meanings, event)
  if (found) {
    event.preventDefault()
    prefix = null
    found.run()
    return
  }
  prefix = null
  const start = meanings.find((key) => begins(key))
  if (start && !isTyping(event.target)) prefix = { key: start, at: event.timeStamp }
}

const ctrl = (event: KeyboardEvent) => event.ctrlKey || event.metaKey

function find(meanings: string[], event: KeyboardEvent): Shortcut | undefined {
  const fresh = prefix && event.timeStamp - prefix.at < SEQUENCE_MS ? `${prefix.key} ` : ""
  // The one registered last is on top: a dialog's Escape before the page's.
  const candidates = [...registry].reverse().filter((shortcut) => applies(shortcut, event))
  for (const meaning of meanings) {
    const found = candidates.find((shortcut) => shortcut.keys === fresh + meaning)
    if (found) return found
  }
  return undefined
}

function applies(shortcut: Shortcut, event: KeyboardEvent): boolean {
  if (!shortcut.whileTyping && isTyping(event.target)) return false
  if (shortcut.keys === "Enter" && isPressable(event.target)) return false
  if (somethingIsOpen() && !shortcut.whileTyping) return false
  return shortcut.when?.() ?? true
}

function begins(key: string): boolean {
  return [...registry].some((shortcut) => shortcut.keys.startsWith(`${key} `))
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false
  return target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName)
}

function isPressable(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && ["A", "BUTTON", "SUMMARY"].includes(target.tagName)
}

/** A dialog or a menu keeps the keys to itself. */
function somethingIsOpen(): boolean {
  return document.querySelector(':is([role="dialog"], [role="menu"])[data-state="open"]') !== null
}

/** How keys are drawn on the sheet and in tooltips. */
export function drawnKeys(keys: string): string[] {
  const names: Record<string, string> = { Escape: "Esc", ArrowDown: "↓", ArrowUp: "↑", Enter: "Enter" }
  return keys
    .split(" ")
    .map((key) => key.replace("+k", "+K"))
    .map((key) => names[key] ?? (key.length === 1 ? key.toUpperCase() : key))
}
