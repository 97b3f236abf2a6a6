/** An order being written by hand: its lines, its faults at their fields, its copy at the office. */

import { computed, nextTick, onScopeDispose, reactive, ref, watch } from "vue"
import { asProblem, type Problem, type ProblemFault } from "@/api/http"
import { drafts as office, orders, upload } from "@/api/office"
import { clear } from "@/shared/clear"
import type { DraftBody, DraftPage, KeptDraft, Submission, SubmissionItem, UploadedFile } from "@/api/types"

export interface Line {
  key: string
  kind: "file" | "sku"
  fileName: string
  fileId: string
  sku: string
  material: string
  quantity: number
  engraving: string
  /** 0 to 1 while bytes travel; null when none do. */
  progress: number | null
  problem: Problem | null
}

export interface Draft {
  clientRef: string
  name: string
  email: string
  phone: string
  address: string
  promiseBy: string
  note: string
  lines: Line[]
}

const empty = (): Draft => ({
  clientRef: "",
  name: "",
  email: "",
  phone: "",
  address: "",
  promiseBy: "",
  note: "",
  lines: [],
})
const aLine = (kind: Line["kind"]): Line => ({
  key: crypto.randomUUID(),
  kind,
  fileName: "",
  fileId: "",
  sku: "",
  material: "",
  quantity: 1,
  engraving: "",
  progress: null,
  problem: null,
})

const PAUSE_MS = 800
const AGAIN_MS = 10_000
const EMAIL = /^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$/

/** The end of that day where the person sits: the office counts in UTC. */
const endOf = (day: string) => new Date(`${day}T23:59:59`).toISOString()

/** A new order: empty, the draft of the number `first`, or what this browser is in the middle of. */
export function useDraft(login: string, say: (fault: ProblemFault) => string, first = "") {
  const store = `orderkeep.draft.${login}`
  /** Where the number stays of what this browser is writing, also when all of it is at the office. */
  const current = `orderkeep.writing.${login}`
  let wanted = first
  const draft = reactive<Draft>(empty())
  const faults = reactive<Record<string, string>>({})
  const savedAt = ref<Date | null>(null)
  /** Whether the office has what is on the screen; until then this browser keeps it. */
  const safe = ref(false)
  /** Why the draft that is wanted is not what is on the screen. */
  const untouched = computed(() => !savedAt.value && !isBegun(draft))
  /** Whether nothing is lost when this form is left for another. */
  const kept = computed(() => safe.value && draft.lines.every((line) => line.fileId || line.sku))
  const unopened = ref<"draftGone" | "anotherFirst" | null>(null)
  const files = new Map<string, File>()
  // One key for all tries of this draft: a second press after a lost answer makes no second order.
  let key = crypto.randomUUID()
  let known: { order_no: string; version: number } | null = null
  let said = ""
  /** What a draft was opened with, while its answer is not here: it may be at the office. */
  let asked = ""
  /** Sent as an order under its key, and no answer is here: no draft may become a second one. */
  let sending = false
  let timer: ReturnType<typeof setTimeout> | undefined
  let saving: Promise<void> = Promise.resolve()

  void begin()
  watch(draft, keep, { deep: true })
  // Whoever leaves has stopped writing: what is not at the office yet goes there now.
  onScopeDispose(() => {
    clearTimeout(timer)
    if (!safe.value && savedAt.value) void save(false)
  })

  async function begin(): Promise<void> {
    if (!restore()) return adopt()
    if (wanted) return turnTo(wanted)
  }

  /** Goes on with another draft; what is only in this browser goes to the office first. */
  async function turnTo(no: string): Promise<void> {
    wanted = no
    if (known?.order_no === no) return void (unopened.value = null)
    if (isBegun(draft)) {
      await save()
      if (known?.order_no === no) return
      if (!kept.value) return void (unopened.value = "anotherFirst")
    }
    reset()
    await nextTick()
    return adopt()
  }

  /** What this browser has and the office has not: it was written last. */
  function restore(): boolean {
    const stored = localStorage.getItem(store)
    if (!stored) return false
    const before = JSON.parse(stored) as {
      draft: Draft
      key: typeof key
      known?: typeof known
      asked?: string
      sending?: boolean
    }
    Object.assign(draft, before.draft)
    key = before.key
    known = before.known ?? null
    asked = before.asked ?? ""
    sending = before.sending ?? false
    // A file that was still on its way is not here any more.
    for (const line of draft.lines) line.progress = null
    later(0)
    return true
  }

  /** Opens the draft that is wanted, or the one this browser was writing; else all stays empty. */
  async function adopt(): Promise<void> {
    const no = wanted || localStorage.getItem(current)
    if (!no) return
    const found = await office.one(no).catch((error: unknown) => asProblem(error))
    if (no !== (wanted || localStorage.getItem(current))) return
    if (isBegun(draft)) return void (unopened.value = wanted ? "anotherFirst" : null)
    if (!("order_no" in found)) return missed(found)
    known = { order_no: found.order_no, version: found.version }
    said = JSON.stringify(found.body)
    localStorage.setItem(current, no)
    Object.assign(draft, draftOf(found))
  }

  /** A draft that is gone is not asked for again; an office that is away is. */
  function missed(problem: Problem): void {
    if (problem.status !== 404) return void (timer = setTimeout(() => void adopt(), AGAIN_MS))
    if (wanted) unopened.value = "draftGone"
    else localStorage.removeItem(current)
  }

  function keep(): void {
    if (!isBegun(draft) && !known) return
    remember()
    safe.value = false
    savedAt.value = new Date()
    later(PAUSE_MS)
  }

  /** Before anything is sent: this browser may close before the answer. */
  function remember(): void {
    const lines = draft.lines.map((line) => ({ ...line, problem: null }))
    const all = { draft: { ...draft, lines }, key, known, asked, sending }
    localStorage.setItem(store, JSON.stringify(all))
  }

  function later(pause: number): void {
    clearTimeout(timer)
    timer = setTimeout(() => void save(), pause)
  }

  function save(again = true): Promise<void> {
    saving = saving.then(() => write(again))
    return saving
  }

  /** One at a time, so that no second draft is opened while the first has no number yet. */
  async function write(again: boolean): Promise<void> {
    const body = bodyOf(draft)
    const words = JSON.stringify(body)
    if (sending || (!known && words === NOTHING)) return
    try {
      known ??= await found()
      if (words !== said || !known)
        known = known ? await office.save(known.order_no, body) : await opened(body)
      said = words
      localStorage.setItem(current, known.order_no)
      if (JSON.stringify(bodyOf(draft)) !== words) return
      safe.value = true
      savedAt.value = new Date()
      localStorage.removeItem(store)
    } catch (error) {
      // Half a word may be refused, and a draft that is an order by now; sending tells which.
      if (again && ![409, 422].includes(asProblem(error).status)) later(AGAIN_MS)
    }
  }

  /** After a lost answer the draft may be there already: it is taken, not opened twice. */
  async function found(): Promise<typeof known> {
    if (!asked) return null
    for (let after: string | null = ""; after !== null;) {
      const page: DraftPage = await office.mine(after)
      const there = page.items.find((one) => sorted(one.body) === asked)
      if (there) return { order_no: there.order_no, version: there.version }
      after = page.next
    }
    return null
  }

  function opened(body: DraftBody): Promise<{ order_no: string; version: number }> {
    asked = sorted(body)
    remember()
    return office.open(body)
  }

  /** Throws it away here and at the office. */
  function forget(): Promise<void> {
    return instead(async () => {
      known ??= await found()
      if (known) await orders.act(known.order_no, "cancel", known.version, { reason: "draft" })
      reset()
    })
  }

  /** Leaves it at the office for later, and begins anew. */
  async function setAside(): Promise<void> {
    await finish()
    if (kept.value) reset()
    else later(AGAIN_MS)
  }

  /** Something is done in place of the next saving; where it fails, saving goes on by itself. */
  async function instead<T>(act: () => Promise<T>): Promise<T> {
    await finish()
    try {
      return await act()
    } catch (error) {
      if (!safe.value) later(AGAIN_MS)
      throw error
    }
  }

  async function finish(): Promise<void> {
    clearTimeout(timer)
    await saving
  }

  function reset(): void {
    unopened.value = null
    localStorage.removeItem(current)
    known = null
    said = ""
    asked = ""
    sending = false
    Object.assign(draft, empty())
    clear(faults)
    key = crypto.randomUUID()
    queueMicrotask(() => {
      clearTimeout(timer)
      localStorage.removeItem(store)
      savedAt.value = null
    })
  }

  function addFiles(list: Iterable<File>): void {
    for (const file of list) {
      draft.lines.push({ ...aLine("file"), fileName: file.name })
      const line = draft.lines.at(-1)
      if (line) void send(line, file)
    }
  }

  async function send(line: Line, file = files.get(line.key)): Promise<void> {
    if (!file) return
    files.set(line.key, file)
    Object.assign(line, { progress: 0, problem: null })
    try {
      const answer: UploadedFile = await upload(file, (share) => (line.progress = share))
      line.fileId = answer.file_id
    } catch (error) {
      line.problem = asProblem(error)
    } finally {
      line.progress = null
    }
  }

  const addSku = () => void draft.lines.push(aLine("sku"))
  const canResend = (line: Line) => files.has(line.key)

  function remove(line: Line): void {
    draft.lines.splice(draft.lines.indexOf(line), 1)
    files.delete(line.key)
    clear(faults)
  }

  /** Marks all that can be told here at once; the server finds the rest. */
  function check(): boolean {
    clear(faults)
    const mark = (pointer: string, code: string) => (faults[pointer] = say({ pointer, code, message: code }))
    if (!draft.lines.length) mark("/items", "required")
    draft.lines.forEach((line, index) => {
      const at = `/items/${index}`
      if (line.kind === "file" && !line.fileId) mark(`${at}/file_id`, "unknown-file")
      if (line.kind === "file" && !line.material) mark(`${at}/material`, "required")
      if (line.kind === "sku" && !line.sku) mark(`${at}/sku`, "required")
      if (!(line.quantity >= 1)) mark(`${at}/quantity`, "too-small")
    })
    if (!draft.name.trim()) mark("/customer/name", "required")
    if (draft.email.trim() && !EMAIL.test(draft.email.trim())) mark("/customer/email", "format")
    if (draft.promiseBy && Date.parse(endOf(draft.promiseBy)) <= Date.now()) mark("/promise_by", "past")
    return Object.keys(faults).length === 0
  }

  function show(list: ProblemFault[]): void {
    clear(faults)
    for (const { pointer, message } of list) faults[pointer] = message
    // The corrected order is another order: the old key belongs to the refused body.
    key = crypto.randomUUID()
    sending = false
  }

  /** A draft becomes the order of its number; what the office never had is sent under its key. */
  function submit(): Promise<{ order_no: string }> {
    return instead(async () => {
      const submission = submissionOf(draft)
      known ??= await found()
      sending = !known
      remember()
      const answer = known ? await sent(known.order_no, submission) : await orders.submit(submission, key)
      reset()
      return answer
    })
  }

  /** Sent before, and only the answer was lost: it is the order now. */
  async function sent(no: string, submission: Submission): Promise<{ order_no: string }> {
    try {
      return await office.submit(no, submission)
    } catch (error) {
      if (asProblem(error).slug !== "transition-refused") throw error
      const { order } = await orders.page(no)
      if (["INITIATED", "FILE_UPLOADED", "CANCELLED"].includes(order.stage)) throw error
      return { order_no: no }
    }
  }

  return {
    draft,
    faults,
    savedAt,
    safe,
    addFiles,
    addSku,
    send,
    remove,
    canResend,
    check,
    show,
    submit,
    forget,
    setAside,
    turnTo,
    untouched,
    kept,
    unopened,
  }
}

function submissionOf(draft: Draft): Submission {
  const { name, email, phone } = draft
  return {
    items: draft.lines.map(itemOf),
    customer: { name: name.trim(), ...given("email", email), ...given("phone", phone) },
    ...given("client_ref", draft.clientRef),
    ...given("delivery_address", draft.address),
    ...given("promise_by", draft.promiseBy && endOf(draft.promiseBy)),
    ...given("note", draft.note),
  }
}

function itemOf(line: Line): SubmissionItem {
  const product = line.kind === "sku" ? { sku: line.sku } : { file_id: line.fileId, material: line.material }
  return { ...product, quantity: Number(line.quantity), ...given("engraving", line.engraving) }
}

function given<K extends string>(name: K, value: string): Partial<Record<K, string>> {
  return value.trim() ? ({ [name]: value.trim() } as Record<K, string>) : {}
}

const NOTHING = "{}"
const isBegun = (draft: Draft) => draft.lines.length > 0 || JSON.stringify(bodyOf(draft)) !== NOTHING

/** As far as it is written: what is empty is left out. */
function bodyOf(draft: Draft): DraftBody {
  const customer = {
    ...given("name", draft.name),
    ...given("email", draft.email),
    ...given("phone", draft.phone),
  }
  // A file on its way and a piece not chosen yet are nothing that another browser could show.
  const lines = draft.lines.filter((line) => line.sku || line.fileId)
  return {
    ...(lines.length ? { items: lines.map(lineBody) } : {}),
    ...(Object.keys(customer).length ? { customer } : {}),
    ...given("client_ref", draft.clientRef),
    ...given("delivery_address", draft.address),
    ...given("promise_by", draft.promiseBy),
    ...given("note", draft.note),
  }
}

function lineBody(line: Line): Partial<SubmissionItem> {
  const product = line.kind === "sku" ? given("sku", line.sku) : given("file_id", line.fileId)
  const quantity = Number(line.quantity)
  return {
    ...product,
    ...given("material", line.material),
    ...(Number.isInteger(quantity) && quantity >= 1 && quantity <= 10_000 ? { quantity } : {}),
    ...given("engraving", line.engraving),
  }
}

function draftOf({ body, files }: KeptDraft): Draft {
  const { items = [], customer = {} } = body
  return {
    clientRef: body.client_ref ?? "",
    name: customer.name ?? "",
    email: customer.email ?? "",
    phone: customer.phone ?? "",
    address: typeof body.delivery_address === "string" ? body.delivery_address : "",
    promiseBy: (body.promise_by ?? "").slice(0, 10),
    note: body.note ?? "",
    lines: items.map((item) => lineOf(item, files)),
  }
}

function lineOf(item: Partial<SubmissionItem>, files: KeptDraft["files"]): Line {
  return {
    ...aLine(item.sku ? "sku" : "file"),
    fileName: files[item.file_id ?? ""] ?? "",
    fileId: item.file_id ?? "",
    sku: item.sku ?? "",
    material: item.material ?? "",
    quantity: item.quantity ?? 1,
    engraving: item.engraving ?? "",
  }
}

/** The office keeps its own order of fields. */
const sorted = (body: unknown): string =>
  JSON.stringify(body, (_, value: unknown) =>
    value && typeof value === "object" && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([x], [y]) => x.localeCompare(y)))
      : value,
  )
