/** Every call of the office, named as a person would name it. */

import { call, CSRF, Problem, query, type CallOptions, type ProblemFault } from "./http"
import type * as wire from "./types"

const BASE = "/office/v1"
const no = encodeURIComponent

export const session = {
  me: () => call<wire.Me>("GET", `${BASE}/me`),
  signIn: (login: string, password: string) => call<wire.Me>("POST", `${BASE}/session`, { login, password }),
  signOut: () => call<undefined>("DELETE", `${BASE}/session`),
  speak: (locale: wire.Locale) => call<wire.Me>("PATCH", `${BASE}/me`, { locale }),
}

export type BoardQuery = Record<string, string | number | null | undefined>

export const board = {
  pagePath: (filter: BoardQuery) => `${BASE}/board${query(filter)}`,
  page: (filter: BoardQuery, options?: CallOptions) =>
    call<wire.Page<wire.Row>>("GET", board.pagePath(filter), undefined, options),
  counts: () => call<wire.Counts>("GET", `${BASE}/board/counts`),
  takeNext: () => call<wire.TakeNext>("POST", `${BASE}/board/take-next`, {}),
  streamPath: `${BASE}/board/stream`,
  operators: async () =>
    itemsOf(await call<wire.OperatorLoad[] | { items: wire.OperatorLoad[] }>("GET", `${BASE}/operators`)),
  approvals: (after?: string | null) =>
    call<wire.Page<wire.ApprovalItem>>("GET", `${BASE}/approvals${query({ after })}`),
  search: (q: string, options?: CallOptions) =>
    call<{ items: wire.Hit[]; misread?: boolean }>(
      "GET",
      `${BASE}/search${query({ q })}`,
      undefined,
      options,
    ),
}

export const views = {
  all: () => call<wire.SavedView[] | { items: wire.SavedView[] }>("GET", `${BASE}/views`),
  save: (name: string, q: string) => call<wire.SavedView>("PUT", `${BASE}/views`, { name, query: q }),
  drop: (id: string) => call<undefined>("DELETE", `${BASE}/views/${no(id)}`),
}

export const orders = {
  page: (orderNo: string, options?: CallOptions) =>
    call<wire.OrderPageData>("GET", `${BASE}/orders/${no(orderNo)}`, undefined, options),
  feed: (orderNo: string, filter: BoardQuery) =>
    call<wire.Page<wire.FeedEntry>>("GET", `${BASE}/orders/${no(orderNo)}/feed${query(filter)}`),
  act: (orderNo: string, action: string, version: number, args: Record<string, unknown> = {}) =>
    call<wire.ActionAnswer>("POST", `${BASE}/orders/${no(orderNo)}/${action}`, { version, ...args }),
  submit: (submission: wire.Submission, key: string) =>
    call<wire.SubmitAnswer>("POST", `${BASE}/orders`, submission, {
      headers: { "Idempotency-Key": key },
    }),
  catalogue: () => call<wire.Catalogue>("GET", `${BASE}/catalogue`),
}

export const drafts = {
  mine: (after = "") => call<wire.DraftPage>("GET", `${BASE}/drafts${query({ after })}`),
  one: (orderNo: string) => call<wire.KeptDraft>("GET", `${BASE}/drafts/${no(orderNo)}`),
  open: (body: wire.DraftBody) => call<{ order_no: string; version: number }>("POST", `${BASE}/drafts`, body),
  save: (orderNo: string, body: wire.DraftBody) =>
    call<{ order_no: string; version: number }>("PUT", `${BASE}/drafts/${no(orderNo)}`, body),
  submit: (orderNo: string, submission: wire.Submission) =>
    call<wire.SubmitAnswer>("POST", `${BASE}/drafts/${no(orderNo)}/submit`, submission),
}

export const admin = {
  people: () => call<wire.Person[] | { items: wire.Person[] }>("GET", `${BASE}/people`),
  addPerson: (person: Record<string, unknown>) => call<wire.Person>("POST", `${BASE}/people`, person),
  changePerson: (id: string, change: Record<string, unknown>) =>
    call<wire.Person>("PATCH", `${BASE}/people/${no(id)}`, change),
  partners: () => call<wire.Partner[] | { items: wire.Partner[] }>("GET", `${BASE}/partners`),
  addPartner: (partner: Record<string, unknown>) => call<wire.Partner>("POST", `${BASE}/partners`, partner),
  makeKey: (partnerId: string) =>
    call<{ key: string; id?: string }>("POST", `${BASE}/partners/${no(partnerId)}/keys`, {}),
  dropKey: (id: string) => call<undefined>("DELETE", `${BASE}/keys/${no(id)}`),
}

export const ledger = {
  balance: () => call<wire.Balance>("GET", `${BASE}/balance`),
  count: () => call<wire.Balance>("POST", `${BASE}/balance/count`, {}),
  findings: (filter: BoardQuery, options?: CallOptions) =>
    call<wire.Reconciliation>("GET", `${BASE}/reconciliation${query(filter)}`, undefined, options),
  compare: () => call<wire.ReconcilePass>("POST", `${BASE}/reconciliation/start`, {}),
  decide: (row: number, decision: string, note: string) =>
    call<wire.Finding>("POST", `${BASE}/reconciliation/findings/${row}/decide`, { decision, note }),
  explain: (orderNo: string, options?: CallOptions) =>
    call<wire.Explanation>("GET", `${BASE}/orders/${no(orderNo)}/explain`, undefined, options),
}

export const destinations = {
  all: (signal?: AbortSignal) =>
    call<wire.Destinations>("GET", `${BASE}/destinations`, undefined, signal ? { signal } : undefined),
  pause: (name: string, reason: string) =>
    call<wire.Destinations>("POST", `${BASE}/destinations/${no(name)}/pause`, { reason }),
  resume: (name: string, reason: string) =>
    call<wire.Destinations>("POST", `${BASE}/destinations/${no(name)}/resume`, { reason }),
}

export const sources = {
  all: (signal?: AbortSignal) =>
    call<wire.Sources>("GET", `${BASE}/sources`, undefined, signal ? { signal } : undefined),
  step: (name: string, to: wire.SourceMode, reason: string, closed: boolean) =>
    call<wire.Sources>("POST", `${BASE}/sources/${no(name)}/step`, {
      to,
      reason,
      ...(closed ? { old_road_closed: true } : {}),
    }),
  home: (name: string, home: wire.SourceHome, reason: string) =>
    call<wire.Sources>("POST", `${BASE}/sources/${no(name)}/home`, { home, reason }),
}

export const crm = {
  told: (orderNo: string, options?: CallOptions) =>
    call<wire.CrmKnows>("GET", `${BASE}/orders/${no(orderNo)}/crm`, undefined, options),
  decide: (orderNo: string, decision: "again" | "give_up", reason: string) =>
    call<wire.CrmKnows>("POST", `${BASE}/orders/${no(orderNo)}/crm`, { decision, reason }),
}

export const unknown = {
  page: (filter: BoardQuery, options?: CallOptions) =>
    call<wire.UnknownList>("GET", `${BASE}/unknown${query(filter)}`, undefined, options),
  give: (row: number, orderNo: string, note: string) =>
    call<wire.UnknownMessage>("POST", `${BASE}/unknown/${row}/give`, { order_no: orderNo, note }),
  aside: (row: number, reason: string) =>
    call<wire.UnknownMessage>("POST", `${BASE}/unknown/${row}/aside`, { reason }),
  takeUp: (row: number, reason: string) =>
    call<wire.UnknownMessage>("POST", `${BASE}/unknown/${row}/open`, { reason }),
}

export const lost = {
  page: (filter: BoardQuery, options?: CallOptions) =>
    call<wire.LostList>("GET", `${BASE}/lost${query(filter)}`, undefined, options),
  import: (file: File, source: string, dry: boolean) =>
    call<wire.LostImport>(
      "POST",
      `${BASE}/lost/import${query({ source, dry_run: dry ? 1 : null })}`,
      undefined,
      { content: file, headers: { "Content-Type": "text/csv" } },
    ),
  readView: (dry: boolean) =>
    call<wire.LostImport>("POST", `${BASE}/lost/read-view${query({ dry_run: dry ? 1 : null })}`, {}),
  settle: (row: number, body: { version: number; state: string; order_no?: string; reason?: string }) =>
    call<wire.LostOrder>("POST", `${BASE}/lost/${row}/settle`, body),
}

export const alerts = (signal?: AbortSignal) =>
  call<{ items: wire.OfficeAlert[]; as_of: wire.Instant }>(
    "GET",
    `${BASE}/alerts`,
    undefined,
    signal ? { signal } : undefined,
  )

const letters = `${BASE}/dead-letters`
export const deadLetters = {
  all: (signal?: AbortSignal) =>
    call<wire.DeadLetters>("GET", letters, undefined, signal ? { signal } : undefined),
  group: (fingerprint: string, parked: boolean, options?: CallOptions) =>
    call<wire.LetterGroupPage>(
      "GET",
      `${letters}/groups/${no(fingerprint)}${query({ parked: String(parked) })}`,
      undefined,
      options,
    ),
  dryRun: (fingerprint: string, to?: string) =>
    call<wire.DryRun>("POST", `${letters}/dry-run`, to ? { fingerprint, to } : { fingerprint }),
  note: (fingerprint: string, known: { owner: string; note: string; release: string }) =>
    call<unknown>("POST", `${letters}/groups/${no(fingerprint)}/note`, known),
  exportPath: (form: "csv" | "json") => `${letters}/export${query({ form })}`,
  check: (row: number, body: string, source: wire.LetterGroup["source"]) =>
    call<{ before: string; errors: ProblemFault[] }>("POST", `${letters}/check`, { row, body, source }),
  begin: (replay: {
    fingerprint: string
    cutoff: number
    per_minute: number
    reason: string
    edit?: { row: number; body: string }
    to?: string
    release?: string
  }) => call<wire.Replay>("POST", `${letters}/replays`, replay),
  replay: (id: string) => call<wire.Replay>("GET", `${letters}/replays/${no(id)}`),
  turn: (id: string, what: string, reason = "") =>
    call<wire.Replay>("POST", `${letters}/replays/${no(id)}/${what}`, { reason }),
  park: (fingerprint: string, cutoff: number, reason: string, back: boolean) =>
    call<{ letters: number }>("POST", `${letters}/park`, { fingerprint, cutoff, reason, back }),
}

/** Some lists come bare, some as a page; screens only want the items. */
export function itemsOf<T>(answer: T[] | { items: T[] }): T[] {
  return Array.isArray(answer) ? answer : answer.items
}

/** Uploads one model file and tells how far it is: `fetch` cannot, XHR can. */
export function upload(
  file: File,
  onProgress: (share: number) => void,
  signal?: AbortSignal,
): Promise<wire.UploadedFile> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    request.open("POST", `${BASE}/files${query({ name: file.name })}`)
    request.responseType = "json"
    request.setRequestHeader("Content-Type", "application/octet-stream")
    for (const [name, value] of Object.entries(CSRF)) request.setRequestHeader(name, value)
    request.upload.onprogress = (event) => onProgress(event.loaded / Math.max(1, event.total))
    request.onerror = () => reject(new Problem(0, {}))
    request.onabort = () => reject(new DOMException("stopped", "AbortError"))
    request.onload = () =>
      request.status < 300
        ? resolve(request.response as wire.UploadedFile)
        : reject(new Problem(request.status, request.response ?? {}))
    signal?.addEventListener("abort", () => request.abort())
    request.send(file)
  })
}
