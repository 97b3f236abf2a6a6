/** A list of support's that is shown by state and in pages: which part, and what it holds. */

import { computed, ref, watch } from "vue"
import { useRoute } from "vue-router"
import { useRemote } from "@/shared/remote"

/** `states`: the first is shown where the address names none. `at`: the page's place, `null` the beginning. */
export function usePagedList<S extends string, T extends { as_of: string }>(
  states: readonly S[],
  ask: (show: S, at: number | null, signal: AbortSignal) => Promise<T>,
) {
  const route = useRoute()
  const show = computed(() => states.find((state) => state === route.query.show) ?? (states[0] as S))
  const at = ref<number | null>(null)
  const fetched = useRemote<T>(
    (signal) => ask(show.value, at.value, signal),
    (found) => found.as_of,
  )

  function page(to: number | null): void {
    at.value = to
    void fetched.restart()
  }
  watch(show, () => page(null))
  return { show, at, page, ...fetched }
}
