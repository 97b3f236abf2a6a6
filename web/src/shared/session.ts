/** Who is signed in, and what they may do. */

import { computed, shallowRef } from "vue"
import { session as office } from "@/api/office"
import type { Locale, Me } from "@/api/types"
import { Problem } from "@/api/http"
import { LOCALES, speak } from "./i18n"
import { setServerTime } from "./now"

const CHOSEN = "orderkeep.chosen-locale"
const me = shallowRef<Me | null>(null)
let asked: Promise<Me | null> | null = null

async function adopt(answer: Me): Promise<Me> {
  me.value = answer
  setServerTime(answer.time)
  await speak(answer.locale)
  return answer
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

/** Signs in; a language chosen before that is the last word, and is kept for this person. */
export async function signIn(login: string, password: string): Promise<Me> {
  const answer = await office.signIn(login, password)
  const chosen = LOCALES.find((locale) => locale === sessionStorage.getItem(CHOSEN))
  sessionStorage.removeItem(CHOSEN)
  if (!chosen || chosen === answer.locale) return adopt(answer)
  return adopt(await office.speak(chosen).catch(() => ({ ...answer, locale: chosen })))
}

export async function signOut(): Promise<void> {
  await office.signOut()
  forget()
}

export function forget(): void {
  me.value = null
  asked = null
}

/** Speaks at once; the office remembers it for the next sign-in. */
export async function changeLocale(locale: Locale): Promise<void> {
  await speak(locale)
  if (me.value) me.value = await office.speak(locale)
  else sessionStorage.setItem(CHOSEN, locale)
}

export function useSession() {
  return {
    me: computed(() => me.value),
    may: (right: string) => me.value?.role === "admin" || (me.value?.can.includes(right) ?? false),
  }
}
