/** What is different between two texts of JSON, line by line. */

export interface Line {
  sign: "+" | "-" | " "
  text: string
}

export function linesOf(before: string, after: string): Line[] {
  const [old, fresh] = [pretty(before), pretty(after)]
  const common = longest(old, fresh)
  const lines: Line[] = []
  let [i, j] = [0, 0]
  for (const text of [...common, null]) {
    while (i < old.length && old[i] !== text) lines.push({ sign: "-", text: old[i++] ?? "" })
    while (j < fresh.length && fresh[j] !== text) lines.push({ sign: "+", text: fresh[j++] ?? "" })
    if (text !== null) {
      lines.push({ sign: " ", text })
      i++
      j++
    }
  }
  return lines
}

/** One member a line where it is JSON; else as it came. */
function pretty(text: string): string[] {
  try {
    return JSON.stringify(JSON.parse(text), null, 2).split("\n")
  } catch {
    return text.split("\n")
  }
}

/** The longest run of lines that both have, in order. */
function longest(a: string[], b: string[]): string[] {
  let row: string[][] = b.map(() => [])
  for (const line of a) {
    const next: string[][] = []
    b.forEach((other, j) => {
      const [above, left, corner] = [row[j] ?? [], next[j - 1] ?? [], row[j - 1] ?? []]
      const longer = above.length >= left.length ? above : left
      next.push(line === other ? [...corner, line] : longer)
    })
    row = next
  }
  return row.at(-1) ?? []
}
