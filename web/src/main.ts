import "./styles.css"
import { createApp } from "vue"
import ui from "@nuxt/ui/vue-plugin"
import App from "./App.vue"
import { whenSignedOut } from "./api/http"
import { router } from "./router"
import { i18n, rememberedLocale, speak } from "./shared/i18n"
import { forget } from "./shared/session"

whenSignedOut(() => {
  forget()
  const to = router.currentRoute.value
  if (to.name !== "sign-in") void router.replace({ name: "sign-in", query: { to: to.fullPath } })
})

// Most people open the board: fetch it beside the words, not after them.
if (["/", "/board", "/work"].includes(location.pathname)) void import("./features/board/BoardPage.vue")
await speak(rememberedLocale())
createApp(App).use(i18n).use(router).use(ui).mount("#app")
