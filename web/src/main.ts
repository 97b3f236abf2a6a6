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

await speak(rememberedLocale())
createApp(App).use(i18n).use(router).use(ui).mount("#app")
