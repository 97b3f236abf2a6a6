/** Every page, loaded when it is opened; the first one for a role is where its work is. */

import { createRouter, createWebHistory, type RouteLocationNormalized } from "vue-router"
import { Problem } from "./api/http"
import type { Role } from "./api/types"
import { lastQuery } from "./features/board/first"
import { whoami } from "./shared/session"

const FIRST: Record<Role, string> = {
  seller: "approvals",
  operator: "board",
  head: "board",
  support: "search",
  admin: "board",
}

export const router = createRouter({
  history: createWebHistory(),
  scrollBehavior: (_to, _from, saved) => saved ?? { top: 0 },
  routes: [
    {
      path: "/sign-in",
      name: "sign-in",
      component: () => import("./features/sign-in/SignInPage.vue"),
      meta: { open: true, title: "signIn.title" },
    },
    { path: "/", name: "home", component: { render: () => null } },
    page("/board", "board", () => import("./features/board/BoardPage.vue"), "nav.board"),
    { path: "/work", redirect: { path: "/board", query: { view: "work" } } },
    page("/approvals", "approvals", () => import("./features/approvals/ApprovalsPage.vue"), "nav.approvals"),
    page("/submit", "submit", () => import("./features/submit/SubmitPage.vue"), "nav.submit", true),
    page("/orders/:no", "order", () => import("./features/order/OrderPage.vue"), "order.title"),
    page("/search", "search", () => import("./features/support/SearchPage.vue"), "nav.search"),
    page("/balance", "balance", () => import("./features/support/BalancePage.vue"), "nav.balance"),
    page(
      "/balance/mes",
      "reconcile",
      () => import("./features/support/ReconcilePage.vue"),
      "reconcile.title",
    ),
    page(
      "/destinations",
      "destinations",
      () => import("./features/support/DestinationsPage.vue"),
      "nav.destinations",
    ),
    page("/sources", "sources", () => import("./features/support/SourcesPage.vue"), "nav.sources"),
    page("/unknown", "unknown", () => import("./features/support/UnknownPage.vue"), "unknown.title"),
    page(
      "/dead-letters",
      "deadLetters",
      () => import("./features/support/DeadLettersPage.vue"),
      "letters.title",
    ),
    page("/balance/lost", "lostOrders", () => import("./features/support/LostPage.vue"), "lost.title"),
    page("/people", "people", () => import("./features/admin/PeoplePage.vue"), "nav.people"),
    page("/partners", "partners", () => import("./features/admin/PartnersPage.vue"), "nav.partners"),
    page("/:rest(.*)*", "lost", () => import("./shared/LostPage.vue"), "face.notFound"),
  ],
})

/** A page that `keeps` holds what is typed, whether the office is there or not. */
function page(path: string, name: string, component: () => Promise<unknown>, title: string, keeps = false) {
  return { path, name, component: component as () => Promise<never>, meta: { title, keeps } }
}

router.beforeEach(async (to) => {
  if (to.meta.open) return true
  try {
    const me = await whoami()
    if (!me) return signInFor(to)
    if (to.name === "home") return { name: FIRST[me.role], replace: true }
    const bare = to.name === "board" && !Object.keys(to.query).length
    return bare ? { name: "board", query: lastQuery(me), replace: true } : true
  } catch (error) {
    // The office is away: the page says so itself, and asks again.
    return error instanceof Problem && to.name !== "home" ? true : { name: "sign-in" }
  }
})

function signInFor(to: RouteLocationNormalized) {
  return { name: "sign-in", query: to.name === "home" ? {} : { to: to.fullPath } }
}
