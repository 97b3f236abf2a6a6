/** The one place that talks to the office. Refusals arrive as a Problem with its facts. */

export interface ProblemFault {
  pointer: string
  code: string
  message: string
}

export interface ProblemBody {
  type?: string
  title?: string
  status?: number
  detail?: string
  errors?: ProblemFault[]
  [fact: string]: unknown
}

/** Not reached at all: the connection is lost or the server is away. */
export const NO_CONNECTION = "no-connection"

export class Problem extends Error {
  readonly status: number
  readonly slug: string
  readonly body: ProblemBody

  constructor(status: number, body: ProblemBody) {
    super(body.detail ?? body.title ?? `HTTP ${status}`)
    this.status = status
    this.body = body
    this.slug = slugOf(status, body)
  }

  get faults(): ProblemFault[] {
    return this.body.errors ?? []
  }

  get lost(): boolean {
    return this.slug === NO_CONNECTION
  }
}

function slugOf(status: number, body: ProblemBody): string {
  if (status === 0) return NO_CONNECTION
  return body.type?.split("/").pop() || String(status)
}

type Listener = () => void
let onSignedOut: Listener = () => undefined

/** Called whenever the office says that nobody is signed in any more. */
export function whenSignedOut(listener: Listener): void {
  onSignedOut = listener
}

export const CSRF = { "X-Requested-With": "orderkeep" }

const early = new Map<string, Promise<unknown>>()
const EARLY_LASTS_MS = 5_000

/** Asks before anybody is there to need it; the first `call` for this address takes the answer. */
export function askEarly(path: string): void {
  const answer = call("GET", path)
  answer.catch(() => undefined) // Whoever takes it is told.
  early.set(path, answer)
  setTimeout(() => early.delete(path), EARLY_LASTS_MS)
}

function takeEarly(path: string): Promise<unknown> | undefined {
  const answer = early.get(path)
  early.delete(path)
  return answer
}

export interface CallOptions {
  signal?: AbortSignal
  headers?: Record<string, string>
  /** Sent as it is, instead of a JSON body. */
  content?: Blob
}

export async function call<T>(
  method: string,
  path: string,
  body?: unknown,
  { signal, headers = {}, content }: CallOptions = {},
): Promise<T> {
  const asked = method === "GET" ? takeEarly(path) : undefined
  if (asked) return (await asked) as T
  const response = await reach(path, {
    method,
    credentials: "same-origin",
    headers: {
      Accept: "application/json",
      ...(method === "GET" ? {} : CSRF),
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(content === undefined ? {} : { body: content }),
    ...(signal ? { signal } : {}),
  })
  if (!response.ok) throw await problemOf(response, path)
  return (response.status === 204 ? undefined : await response.json()) as T
}

async function reach(path: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(path, init)
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error
    throw new Problem(0, {})
  }
}

async function problemOf(response: Response, path: string): Promise<Problem> {
  const problem = new Problem(response.status, await bodyOf(response))
  if (response.status === 401 && !path.endsWith("/session")) onSignedOut()
  return problem
}

async function bodyOf(response: Response): Promise<ProblemBody> {
  try {
    return (await response.json()) as ProblemBody
  } catch {
    return {} // A proxy's HTML page: the status says enough.
  }
}

export function asProblem(error: unknown): Problem {
  return error instanceof Problem ? error : new Problem(500, { title: String(error) })
}

/** `?a=1&b=2` from the values that are set; empty ones are left out. */
export function query(values: Record<string, string | number | null | undefined>): string {
  const params = new URLSearchParams()
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && value !== null && value !== "") params.set(name, String(value))
  }
  const text = params.toString()
  return text ? `?${text}` : ""
}
