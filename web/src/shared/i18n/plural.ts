/** Russian has three plurals: 1 заказ, 2 заказа, 5 заказов; 11 to 14 go with 5. */
export function russianPlural(n: number, choices: number): number {
  const form = russianForm(Math.abs(Math.trunc(n)))
  return Math.min(form, choices - 1)
}

function russianForm(n: number): number {
  const last = n % 10
  const teen = n % 100 >= 11 && n % 100 <= 14
  if (last === 1 && !teen) return 0
  return last >= 2 && last <= 4 && !teen ? 1 : 2
}
