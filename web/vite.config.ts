import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { brotliCompressSync, gzipSync } from "node:zlib"
import vue from "@vitejs/plugin-vue"
import ui from "@nuxt/ui/vite"
import { defineConfig, type Plugin, type UserConfig } from "vite"

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/** What building, testing and the practice server share. */
export const common: UserConfig = {
  resolve: {
    alias: {
      "@": here("./src"),
      // The full package asks a public server for icons it does not know; this one cannot.
      "@iconify/vue": here("./src/shared/icons-offline.ts"),
    },
  },
  define: { __VUE_OPTIONS_API__: true, __INTLIFY_PROD_DEVTOOLS__: false },
  plugins: [
    vue(),
    ui({
      dts: false,
      colorMode: false,
      autoImport: false,
      experimental: { componentDetection: true },
      icon: { clientBundle: { scan: { globInclude: ["src/**/*.{vue,ts}"], globExclude: ["node_modules"] } } },
      ui: { colors: { primary: "teal", neutral: "stone" } },
    }),
  ],
}

/** Leaves a compressed twin beside every text, so that the office never compresses while it serves. */
const twins: Plugin = {
  name: "twins",
  apply: "build",
  writeBundle({ dir = "" }, bundle) {
    for (const name of Object.keys(bundle).filter((one) => /\.(js|css|svg|html)$/.test(one))) {
      const body = readFileSync(join(dir, name))
      writeFileSync(join(dir, `${name}.br`), brotliCompressSync(body))
      writeFileSync(join(dir, `${name}.gz`), gzipSync(body, { level: 9 }))
    }
  },
}

export default defineConfig({
  ...common,
  plugins: [...(common.plugins ?? []), twins],
  base: "/",
  build: {
    outDir: "../src/orderkeep/http/static",
    emptyOutDir: true,
    target: "es2022",
    // The office forbids inline anything; small files stay files.
    assetsInlineLimit: 0,
    manifest: true,
  },
})
