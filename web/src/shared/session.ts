/** Who is signed in, and what they may do. */

import { computed, shallowRef } from "vue"
import { session as office } from "@/api/office"
import type { Locale, Me } from "@/api/types"
import { Problem } from "@/api/http"
import { LOCALES, speak } from "./i18n"
import { setServerTime } from "./now"

/** What was chosen on this device: by people, by their login, and by whoever was not signed in yet. */
const CHOSEN = "orderkeep.chosen-locale"
const NOBODY = ""
/** Chosen while signing in: the office is told as soon as it is known for whom. */
const TO_BE_TOLD = "orderkeep.locale-to-be-told"
const me = shallowRef<Me | null>(null)
let asked: Promise<Me | null> | null = null

async function adopt(answer: Me): Promise<Me> {
  me.value = answer
  setServerTime(answer.time)
  await speak(languageOf(answer))
  return answer
}

function choices(): Record<string, string> {
  return JSON.parse(localStorage.getItem(CHOSEN) ?? "{}") as Record<string, string>
}

/** What somebody chose on this device goes before what the office knows, until they choose again. */
function languageOf({ login, locale }: Me): Locale {
  const chosen = choices()
  const said = [chosen[login], chosen[NOBODY]]
  return said.map((one) => LOCALES.find((known) => known === one)).find(Boolean) ?? locale
}

/** A choice before signing in is for this device: it takes the place of all that were made on it. */
function remember(locale: Locale): void {
  const chosen = me.value ? { ...choices(), [me.value.login]: locale } : { [NOBODY]: locale }
  localStorage.setItem(CHOSEN, JSON.stringify(chosen))
}

/** The person of the session, asked once; null when nobody is signed in. */
export function whoami(): Promise<Me | null> {
  if (me.value) return Promise.resolve(me.value)
  asked ??= office
    .me()
    .then(adopt)
    .catch((error: unknown) => {
      asked = null
      if (error instanceof Problem && error.status === 401) return null
      throw error
    })
  return asked
}

/** Signs in; a language chosen while doing so is kept for this person, on their other devices too. */
export async function signIn(login: string, password: string): Promise<Me> {
  const answer = await office.signIn(login, password)
  const untold = sessionStorage.getItem(TO_BE_TOLD) !== null
  sessionStorage.removeItem(TO_BE_TOLD)
  const spoken = languageOf(answer)
  if (!untold || spoken === answer.locale) return adopt(answer)
  return adopt(await office.speak(spoken).catch(() => answer))
}

export async function signOut(): Promise<void> {
  await office.signOut()
  forget()
}

export function forget(): void {
  me.value = null
  asked = null
}

/** Speaks at once and on this device from now on; the office remembers it for devices without a choice. */
export async function changeLocale(locale: Locale): Promise<void> {
  remember(locale)
  await speak(locale)
  if (me.value) me.value = await office.speak(locale)
  else sessionStorage.setItem(TO_BE_TOLD, "")
}

export function useSession() {
  return {
    me: computed(() => me.value),
    may: (right: string) => me.value?.role === "admin" || (me.value?.can.includes(right) ?? false),
  }
}
