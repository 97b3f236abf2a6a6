/** Empties a reactive record in place, so that what watches it keeps watching. */
export function clear(record: Record<string, unknown>): void {
  for (const key of Object.keys(record)) Reflect.deleteProperty(record, key)
}
