/// <reference types="vite/client" />
declare module "*.vue" {
  import type { DefineComponent } from "vue"
  const component: DefineComponent<object, object, unknown>
  export default component
}
declare module "@nuxt/ui/vue-plugin" {
  import type { Plugin } from "vue"
  const plugin: Plugin
  export default plugin
}
declare module "*/offline.mjs" {
  export { Icon, addCollection, addIcon } from "@iconify/vue/dist/offline"
}
