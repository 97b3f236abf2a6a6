/** The present as the server sees it: a wrong clock on this machine must not make orders late. */

import { readonly, ref } from "vue"

const now = ref(new Date())
let aheadMs = 0

export function setServerTime(instant: string): void {
  aheadMs = Date.parse(instant) - Date.now()
  tick()
}

function tick(): void {
  now.value = new Date(Date.now() + aheadMs)
}

setInterval(tick, 10_000)

export function useNow() {
  return readonly(now)
}
