/** The language of a device that several people share. */

import { beforeEach, expect, test } from "vitest"
import { i18n } from "@/shared/i18n"
import { changeLocale, forget, signIn, signOut, whoami } from "@/shared/session"
import { aPerson, openOffice } from "./office"

let accounts: Record<string, string> = {}
let here = ""
const spoken = () => i18n.global.locale.value

beforeEach(() => {
  localStorage.clear()
  sessionStorage.clear()
  forget()
  accounts = { anna: "ru", ivan: "ru" }
  const me = () => aPerson({ login: here, locale: accounts[here] as "ru" })
  openOffice({
    "POST /session": ({ body }) => ((here = String(body.login)), me()),
    "DELETE /session": () => undefined,
    "PATCH /me": ({ body }) => ((accounts[here] = String(body.locale)), me()),
    "GET /me": me,
  })
})

test("what is chosen before signing in is spoken by all who sign in here, until somebody chooses again", async () => {
  await changeLocale("en")
  await signIn("anna", "secret")
  expect(spoken()).toBe("en")
  await signOut()

  await signIn("ivan", "secret")
  expect(spoken()).toBe("en")
  await changeLocale("ru")
  await signOut()

  await signIn("anna", "secret")
  expect(spoken()).toBe("en")
  await signOut()
  await signIn("ivan", "secret")
  expect(spoken()).toBe("ru")
})

test("only whoever chose it while signing in takes it along to other devices", async () => {
  await changeLocale("en")
  await signIn("anna", "secret")
  await signOut()
  await signIn("ivan", "secret")

  expect(accounts).toEqual({ anna: "en", ivan: "ru" })
})

test("the choice on this device outlives another one on another device", async () => {
  await signIn("anna", "secret")
  await changeLocale("en")
  forget()
  accounts.anna = "ru"

  await whoami()
  expect(spoken()).toBe("en")
})

test("without a choice the office's word counts, and a choice that makes no sense is none", async () => {
  accounts.ivan = "en"
  localStorage.setItem("orderkeep.chosen-locale", '{"": "tlh"}')

  await signIn("ivan", "secret")
  expect(spoken()).toBe("en")
})
