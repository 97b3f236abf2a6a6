/// <reference types="vite/client" />
declare module "*/offline.mjs" {
  export { Icon, addCollection, addIcon } from "@iconify/vue/dist/offline"
}
