/** An order being written by hand: its lines, its faults at their fields, its copy in this browser. */

import { reactive, ref, watch } from "vue"
import { asProblem, type Problem, type ProblemFault } from "@/api/http"
import { orders, upload } from "@/api/office"
import { clear } from "@/shared/clear"
import type { Submission, SubmissionItem, UploadedFile } from "@/api/types"

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

const EMAIL = /^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$/

/** The end of that day where the person sits: the office counts in UTC. */
const endOf = (day: string) => new Date(`${day}T23:59:59`).toISOString()

export function useDraft(login: string, say: (fault: ProblemFault) => string) {
  const store = `orderkeep.draft.${login}`
  const draft = reactive<Draft>(empty())
  const faults = reactive<Record<string, string>>({})
  const savedAt = ref<Date | null>(null)
  const files = new Map<string, File>()
  // One key for all tries of this draft: a second press after a lost answer makes no second order.
  let key = crypto.randomUUID()

  restore()
  watch(draft, keep, { deep: true })

  function restore(): void {
    const kept = localStorage.getItem(store)
    if (!kept) return
    const before = JSON.parse(kept) as { draft: Draft; key: typeof key }
    Object.assign(draft, before.draft)
    key = before.key
    // A file that was still on its way is not here any more.
    for (const line of draft.lines) line.progress = null
  }

  function keep(): void {
    localStorage.setItem(
      store,
      JSON.stringify({
        draft: { ...draft, lines: draft.lines.map((line) => ({ ...line, problem: null })) },
        key,
      }),
    )
    savedAt.value = new Date()
  }

  function forget(): void {
    Object.assign(draft, empty())
    clear(faults)
    key = crypto.randomUUID()
    queueMicrotask(() => {
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
  }

  const submit = () => orders.submit(submissionOf(draft), key)

  return { draft, faults, savedAt, addFiles, addSku, send, remove, canResend, check, show, submit, forget }
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
