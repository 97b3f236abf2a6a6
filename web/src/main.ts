import "./styles.css"
import { createApp } from "vue"
import ui from "@nuxt/ui/vue-plugin"
import App from "./App.vue"
import { whenSignedOut } from "./api/http"
import { router } from "./router"
import { i18n, rememberedLocale, speak } from "./shared/i18n"
import { askForFirstRows } from "./features/board/first"
import { forget, whoami } from "./shared/session"

whenSignedOut(() => {
  forget()
  const to = router.currentRoute.value
  if (to.name !== "sign-in") void router.replace({ name: "sign-in", query: { to: to.fullPath } })
})

// Most people open the board: it, its rows and the words are fetched side by side.
const atBoard = ["/", "/board", "/work"].includes(location.pathname)
if (atBoard) void import("./features/board/BoardPage.vue")
const signedIn = location.pathname === "/sign-in" ? null : whoami().catch(() => null)
if (atBoard) void signedIn?.then(askForFirstRows)
await speak(rememberedLocale() ?? (await signedIn)?.locale ?? "ru")
createApp(App).use(i18n).use(router).use(ui).mount("#app")
