/** What is on the screen is only as fresh as the live line: while it is down, the data says so. */

import { watch, type Ref, type ShallowRef } from "vue"
import { Problem } from "@/api/http"
import type { Remote } from "./remote"

/** Marks ready data as stale while the line is down, and asks anew once it is back. */
export function keepHonest<T>(
  remote: ShallowRef<Remote<T>>,
  connected: Ref<boolean>,
  refresh: () => unknown,
): void {
  watch([remote, connected], ([now, up]) => {
    if (!up && now.face === "ready" && !now.stale) remote.value = { ...now, stale: new Problem(0, {}) }
  })
  watch(connected, (up) => {
    if (up) void refresh()
  })
}
