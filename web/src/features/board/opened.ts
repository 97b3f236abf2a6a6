/** The order that was opened from the board: whoever comes back stands at it again. */

let opened: string | null = null

export function leftFor(orderNo: string): void {
  opened = orderNo
}

/** Told once; a board that is opened anew begins at its top. */
export function cameBackFrom(): string | null {
  const orderNo = opened
  opened = null
  return orderNo
}
