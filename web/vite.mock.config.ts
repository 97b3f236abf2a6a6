import { defineConfig } from "vite"
import { common } from "./vite.config"
import { mockOffice } from "./mock/server"

/** The pages against a stand-in for the office: `npm run dev`, then `?scenario=empty&role=seller`. */
export default defineConfig({
  ...common,
  build: { outDir: "../src/orderkeep/http/static" },
  plugins: [...(common.plugins ?? []), mockOffice()],
})
