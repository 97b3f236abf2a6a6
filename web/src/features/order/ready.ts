/** What support can read out to a client: only facts, in the client's words. */

import { useI18n } from "vue-i18n"
import type { Order, OrderPageData, Stage } from "@/api/types"
import { useFormat } from "@/shared/format"
import { useNow } from "@/shared/now"

const OPENING: Record<Stage, string> = {
  INITIATED: "draft",
  FILE_UPLOADED: "draft",
  SUBMITTED: "submitted",
  PRICE_CALCULATED: "priced",
  MANUFACTURING_APPROVED: "queued",
  MANUFACTURING_STARTED: "started",
  MANUFACTURING_COMPLETED: "made",
  PACKAGING: "packing",
  SHIPPED: "shipped",
  CLOSED: "closed",
  CANCELLED: "cancelled",
}
const MOVING = new Set<Stage>([
  "SUBMITTED",
  "PRICE_CALCULATED",
  "MANUFACTURING_APPROVED",
  "MANUFACTURING_STARTED",
  "MANUFACTURING_COMPLETED",
  "PACKAGING",
])

export function useReadySentence() {
  const { t } = useI18n()
  const { dayInWords, momentInWords, span, word } = useFormat()
  const now = useNow()

  function promise(order: Order): string {
    if (!order.promise_at || !MOVING.has(order.stage)) return ""
    const lateS = (now.value.getTime() - Date.parse(order.promise_at)) / 1000
    const said = t("ready.promise", { at: dayInWords(order.promise_at) })
    if (lateS > 0) return `${said} ${t("ready.late", { span: span(lateS) })}`
    return `${said} ${t(order.risk === "ok" ? "ready.onTime" : "ready.atRisk")}`
  }

  function next(page: OrderPageData): string {
    const owed = page.next
    if (!owed?.at || !MOVING.has(page.order.stage) || Date.parse(owed.at) < now.value.getTime()) return ""
    return t("ready.nextBy", { what: word("due.what", owed.what), at: momentInWords(owed.at) })
  }

  return (page: OrderPageData): string => {
    const { order } = page
    const opening = t(`ready.${OPENING[order.stage]}`, {
      no: order.order_no,
      at: dayInWords(order.submitted_at ?? order.created_at),
      since: dayInWords(order.stage_since),
      reason: order.cancelled_because ?? "",
    })
    const held = order.hold
      ? t("ready.held", { until: momentInWords(order.hold.until), reason: order.hold.reason })
      : ""
    const tracking =
      order.stage === "SHIPPED" && order.shipment
        ? t("ready.tracking", { no: order.shipment.tracking_no })
        : ""
    return [opening, held, tracking, promise(order), next(page)].filter(Boolean).join(" ")
  }
}
