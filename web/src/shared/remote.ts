/** Remote data is one value with three faces; `ready` knows how old it is. */

import { onScopeDispose, shallowRef, watch, type ShallowRef } from "vue"
import { asProblem, type Problem } from "@/api/http"
import { connected } from "./line"

export type Remote<T> =
  | { face: "loading" }
  | { face: "ready"; value: T; asOf: Date; stale: Problem | null }
  | { face: "failed"; problem: Problem }

export interface Fetched<T> {
  remote: ShallowRef<Remote<T>>
  /** Asks again; what is shown stays until the answer is here. */
  refresh: () => Promise<void>
  /** Forgets what is shown and asks anew: another question was put. */
  restart: () => Promise<void>
}

/** Runs `ask` now, on `refresh` and when a lost connection is back; an answer that was overtaken by a newer question is dropped. */
export function useRemote<T>(
  ask: (signal: AbortSignal) => Promise<T>,
  asOf: (value: T) => string | undefined = () => undefined,
): Fetched<T> {
  const remote = shallowRef<Remote<T>>({ face: "loading" })
  let current: AbortController | null = null

  async function refresh(): Promise<void> {
    current?.abort()
    const mine = (current = new AbortController())
    try {
      const value = await ask(mine.signal)
      if (current === mine) remote.value = ready(value, asOf(value))
    } catch (error) {
      if (current === mine) remote.value = failed(remote.value, asProblem(error))
    }
  }

  function restart(): Promise<void> {
    remote.value = { face: "loading" }
    return refresh()
  }

  watch(connected, (up) => {
    if (up) void refresh()
  })
  onScopeDispose(() => current?.abort())
  void refresh()
  return { remote, refresh, restart }
}

export function ready<T>(value: T, asOf?: string): Remote<T> {
  return { face: "ready", value, asOf: asOf ? new Date(asOf) : new Date(), stale: null }
}

/** What was shown stays, marked as stale; only an empty screen shows the failure itself. */
export function failed<T>(before: Remote<T>, problem: Problem): Remote<T> {
  return before.face === "ready" ? { ...before, stale: problem } : { face: "failed", problem }
}
