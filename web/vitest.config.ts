import { defineConfig } from "vitest/config"
import { common } from "./vite.config"

export default defineConfig({
  ...common,
  test: {
    environment: "jsdom",
    include: ["tests/**/*.test.ts"],
    setupFiles: ["tests/setup.ts"],
    restoreMocks: true,
    testTimeout: 30_000,
    server: { deps: { inline: [/@nuxt\/ui/, /@iconify/] } },
  },
})
