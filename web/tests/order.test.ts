import { screen, waitFor, within } from "@testing-library/vue"
import userEvent from "@testing-library/user-event"
import { describe, expect, test } from "vitest"
import ApprovalsPage from "@/features/approvals/ApprovalsPage.vue"
import OrderPage from "@/features/order/OrderPage.vue"
import SignInPage from "@/features/sign-in/SignInPage.vue"
import SubmitPage from "@/features/submit/SubmitPage.vue"
import { aFeed, anApproval, anOrder, anOrderPage } from "../mock/data"
import { Refusal, aPerson, openOffice, visit } from "./office"

const row = { ...anOrder(1), order_no: "OK-000401" }
const thePage = {
  "GET /orders/OK-000401": () => anOrderPage(row),
  "GET /orders/OK-000401/feed": () => ({ items: aFeed(), next: null }),
}

describe("support on an order's page", () => {
  const support = () => aPerson({ role: "support", can: ["note.add"] })

  test("has a sentence ready for the client, made of facts", async () => {
    openOffice(thePage, support())
    await visit(OrderPage, "/orders/OK-000401", "/orders/:no")

    expect(await screen.findByText(/Заказ OK-000401 изготавливают с/)).toBeInTheDocument()
  })

  test("reads what happened in plain words, failures marked in words too", async () => {
    openOffice(thePage, support())
    await visit(OrderPage, "/orders/OK-000401", "/orders/:no")

    expect(await screen.findByText(/Заметка: Клиентка просила/)).toBeInTheDocument()
    expect(screen.getByText(/Цену должен назвать продавец: Поверхность с разрывами/)).toBeInTheDocument()
    expect(screen.getAllByText(/^Ошибка:/).length).toBeGreaterThan(0)
  })

  test("is told when there is no such order", async () => {
    openOffice({}, support())
    await visit(OrderPage, "/orders/OK-000401", "/orders/:no")

    expect(await screen.findByText("Заказа OK-000401 нет")).toBeInTheDocument()
  })

  test("is offered only what is allowed", async () => {
    openOffice(
      { ...thePage, "GET /orders/OK-000401": () => ({ ...anOrderPage(row), can: ["note"] }) },
      support(),
    )
    await visit(OrderPage, "/orders/OK-000401", "/orders/:no")

    expect(await screen.findByRole("button", { name: "Записать заметку" })).toBeInTheDocument()
    expect(screen.queryByRole("button", { name: "Готово" })).toBeNull()
  })
})

describe("an order's page", () => {
  const shipped = (posted: (body: Record<string, unknown>) => unknown = () => null) => ({
    ...thePage,
    "GET /orders/OK-000401": () => ({
      ...anOrderPage({ ...row, stage: "SHIPPED" }),
      can: ["hold", "return-open", "promise", "close", "note"],
    }),
    "POST /orders/OK-000401/close": ({ body }: { body: Record<string, unknown> }) => posted(body),
  })

  test("offers the step that closes a shipped order first, with its reason filled in", async () => {
    const user = userEvent.setup()
    const sent: Record<string, unknown>[] = []
    const closed = { order_no: "OK-000401", version: 9, stage: "CLOSED", pending: false }
    openOffice(
      shipped((body) => {
        sent.push(body)
        return closed
      }),
      aPerson({ role: "support", can: [] }),
    )
    await visit(OrderPage, "/orders/OK-000401", "/orders/:no")

    await user.click(await screen.findByRole("button", { name: "Закрыть заказ" }))
    expect(await screen.findByLabelText("Почему")).toHaveValue("Доставлено клиенту")
    await user.keyboard("{Enter}")

    await waitFor(() => expect(sent).toMatchObject([{ why: "Доставлено клиенту" }]))
  })

  test("names who did it on our own floor, and the workshop where nobody is named", async () => {
    const [, started] = aFeed()
    if (!started) throw new Error("the feed has no such event")
    const floor = { kind: "mes", id: "floor" }
    const items = [
      { ...started, seq: 2, actor: { kind: "mes", id: "anna", name: "Анна Петрова" } },
      { ...started, seq: 1, kind: "order.packaging", actor: floor, data: {} },
    ]
    openOffice({ ...thePage, "GET /orders/OK-000401/feed": () => ({ items, next: null }) }, aPerson())
    await visit(OrderPage, "/orders/OK-000401", "/orders/:no")

    expect(await screen.findByText(/· Анна Петрова · мастерская$/)).toBeInTheDocument()
    expect(screen.getByText(/· Мастерская$/)).toBeInTheDocument()
  })

  test("says what a price is made of with its unit, a share as percent", async () => {
    openOffice(thePage, aPerson({ role: "seller", can: [] }))
    await visit(OrderPage, "/orders/OK-000401?tab=price", "/orders/:no")

    expect(await screen.findByText(/^масса: 4,213 г · цена за грамм: 6\s250\s₽$/)).toBeInTheDocument()
    expect(screen.getByText(/^доля: 35\s%$/)).toBeInTheDocument()
    expect(screen.getByText(/^ставка: 20\s%$/)).toBeInTheDocument()
    expect(screen.getByText(/^ставка: 650\s₽$/)).toBeInTheDocument()
  })
})

describe("a seller", () => {
  const seller = () => aPerson({ role: "seller", can: ["order.approve", "order.create"] })
  const first = anApproval({ ...anOrder(2), order_no: "OK-000402" }, 0)
  const second = anApproval({ ...anOrder(11), order_no: "OK-000411" }, 1)

  test("approves with A and stands at the next order", async () => {
    const office = openOffice(
      {
        "GET /approvals": () => ({
          items: office.calls.some((call) => call.path.endsWith("/approve")) ? [second] : [first, second],
          next: null,
        }),
        "POST /orders/OK-000402/approve": () => ({
          order_no: "OK-000402",
          version: 9,
          stage: "MANUFACTURING_APPROVED",
          pending: false,
        }),
      },
      seller(),
    )
    await visit(ApprovalsPage, "/approvals")
    await screen.findByRole("article", { name: "OK-000402" })

    window.dispatchEvent(new KeyboardEvent("keydown", { key: "ф", code: "KeyA" }))

    expect(await screen.findByRole("article", { name: "OK-000411" })).toBeInTheDocument()
  })

  test("entering a price is asked for a sum and a reason, and told of a sum that is none", async () => {
    const office = openOffice(
      {
        "GET /approvals": () => ({ items: [first], next: null }),
        "POST /orders/OK-000402/enter-price": () => ({
          order_no: "OK-000402",
          version: 9,
          stage: "PRICE_CALCULATED",
          pending: false,
        }),
      },
      seller(),
    )
    await visit(ApprovalsPage, "/approvals")
    await userEvent.click(await screen.findByRole("button", { name: "Назвать цену" }))

    await userEvent.type(await screen.findByLabelText("Цена за весь заказ"), "дорого")
    await userEvent.type(screen.getByLabelText("Причина"), "Сложная закрепка")
    const confirm = within(screen.getByRole("dialog")).getByRole("button", { name: "Назвать цену" })
    await userEvent.click(confirm)
    expect(await screen.findByText("Число, например 12 500,00")).toBeInTheDocument()

    await userEvent.clear(screen.getByLabelText("Цена за весь заказ"))
    await userEvent.type(screen.getByLabelText("Цена за весь заказ"), "12500,50")
    await userEvent.click(confirm)
    await waitFor(() =>
      expect(office.calls.find((call) => call.path.endsWith("/enter-price"))?.body).toMatchObject({
        total: "12500.50",
        reason: "Сложная закрепка",
      }),
    )
  })

  test("submitting by hand sees every fault at its field", async () => {
    openOffice(
      {
        "GET /catalogue": () => ({
          book_version: "1",
          label: "example",
          currency: "RUB",
          materials: [],
          skus: [{ sku: "CHAIN", title: { ru: "Цепь", en: "Chain" }, price: "10.00" }],
        }),
        "POST /orders": () =>
          new Refusal(422, {
            type: "/problems/invalid",
            detail: "x",
            errors: [
              { pointer: "/customer/email", code: "format", message: "must look like name@example.com" },
              { pointer: "/items/0/quantity", code: "too-large", message: "must be at most 10000" },
            ],
          }),
      },
      seller(),
    )
    await visit(SubmitPage, "/submit")

    await userEvent.click(await screen.findByRole("button", { name: "Готовое изделие" }))
    await userEvent.click(screen.getByRole("button", { name: "Отправить заказ" }))
    expect(screen.getByLabelText("Имя")).toHaveAttribute("aria-invalid", "true")

    await userEvent.type(screen.getByLabelText("Имя"), "Екатерина")
    await userEvent.selectOptions(screen.getByLabelText("Изделие"), "CHAIN")
    await userEvent.click(screen.getByRole("button", { name: "Отправить заказ" }))

    expect(await screen.findByText("Нужен адрес вида name@example.com")).toBeInTheDocument()
    expect(screen.getByText("От 1 до 10 000")).toBeInTheDocument()
    expect(screen.getByLabelText("Сколько")).toHaveAttribute("aria-invalid", "true")
  })
})

describe("signing in", () => {
  test("says that login or password did not match, and keeps the login", async () => {
    openOffice({ "POST /session": () => new Refusal(401, { type: "/problems/wrong-credentials" }) }, null)
    await visit(SignInPage, "/sign-in")

    await userEvent.type(screen.getByLabelText("Логин"), "anna")
    await userEvent.type(screen.getByLabelText("Пароль"), "wrong{Enter}")

    expect(await screen.findByRole("alert")).toHaveTextContent("Логин или пароль не подошли")
    expect(screen.getByLabelText("Логин")).toHaveValue("anna")
  })

  test("speaks English before anyone has signed in", async () => {
    openOffice({}, null)
    await visit(SignInPage, "/sign-in")

    await userEvent.click(screen.getByRole("radio", { name: "Eng" }))

    expect(await screen.findByRole("heading", { name: "Staff sign-in" })).toBeInTheDocument()
  })

  test("leads only to pages of our own", async () => {
    openOffice({ "POST /session": () => aPerson() }, null)
    const { router } = await visit(SignInPage, "/sign-in?to=//evil.example", "/sign-in")

    await userEvent.type(screen.getByLabelText("Логин"), "anna")
    await userEvent.type(screen.getByLabelText("Пароль"), "right{Enter}")

    await waitFor(() => expect(router.currentRoute.value.fullPath).toBe("/"))
  })
})
