import { execFileSync } from "node:child_process"
import { existsSync, readFileSync, readdirSync } from "node:fs"
import { resolve } from "node:path"
import { brotliDecompressSync, gunzipSync, gzipSync } from "node:zlib"
import { beforeAll, describe, expect, test } from "vitest"

const built = (path: string) => resolve("../src/orderkeep/http/static", path)
const FIRST_LOAD_KB = 250
/** Names that XML and credits need; nothing ever asks them for anything. */
const HARMLESS = ["www.w3.org", "vuejs.org", "tailwindcss.com"]

interface Chunk {
  file: string
  imports?: string[]
  css?: string[]
}
const text = (path: string) => readFileSync(built(path), "utf8")

beforeAll(() => {
  if (!existsSync(built(".vite/manifest.json"))) execFileSync("npm", ["run", "build"])
}, 120_000)

describe("what is shipped", () => {
  test("asks no other host for anything", () => {
    const files = readdirSync(built("assets"))
      .filter((name) => /\.(js|css)$/.test(name))
      .map((name) => text(`assets/${name}`))
    const hosts = [text("index.html"), ...files].flatMap((file) =>
      [...file.matchAll(/https?:\/\/([a-z0-9.-]+)/gi)].map((match) => match[1] ?? ""),
    )
    expect([...new Set(hosts)].filter((host) => !HARMLESS.includes(host))).toEqual([])
    expect(files.join("")).not.toContain("iconify.design")
  })

  test("comes compressed, so that a slow line carries a quarter", () => {
    const large = readdirSync(built("assets")).filter((name) => /\.(js|css)$/.test(name))
    expect(large.length).toBeGreaterThan(5)
    for (const name of large) {
      const plain = readFileSync(built(`assets/${name}`))
      expect(brotliDecompressSync(readFileSync(built(`assets/${name}.br`))).equals(plain), name).toBe(true)
      expect(gunzipSync(readFileSync(built(`assets/${name}.gz`))).equals(plain), name).toBe(true)
    }
  })

  test("runs nothing inline, as the office's policy demands", () => {
    expect(text("index.html")).not.toMatch(/<script(?![^>]*src=)|\son\w+=|<style/)
  })

  test(`is at the board within ${FIRST_LOAD_KB} kB`, () => {
    const manifest = JSON.parse(text(".vite/manifest.json")) as Record<string, Chunk>
    const wanted = new Set<string>()
    const want = (name: string): void => {
      const chunk = manifest[name]
      if (!chunk || wanted.has(chunk.file)) return
      wanted.add(chunk.file)
      chunk.css?.forEach((file) => wanted.add(file))
      chunk.imports?.forEach(want)
    }
    for (const entry of ["index.html", "src/features/board/BoardPage.vue", "src/shared/i18n/ru.ts"]) {
      expect(manifest[entry], entry).toBeDefined()
      want(entry)
    }
    const bytes = [...wanted].reduce((sum, file) => sum + gzipSync(readFileSync(built(file))).length, 0)
    expect(bytes / 1000).toBeLessThan(FIRST_LOAD_KB)
  })
})
