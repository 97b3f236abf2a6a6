"""What the ledger says, in English and Russian: differences, findings, explanations.

Every code has words in both languages; a test holds them to it. What a far side said itself is
shown beside these, never inside them.
"""

from collections.abc import Mapping
from typing import Final

LANGUAGES: Final = ("en", "ru")

Words = Mapping[str, tuple[str, str]]
"""By code: English, Russian."""

STATES: Final[Words] = {
    "rest": ("It is over: nothing more is to happen", "Всё завершено: ничего больше не ожидается"),
    "fine": ("It is moving and in time", "Движется, в срок"),
    "waiting": ("It waits for a person, in time", "Ждёт человека, в срок"),
    "late": ("The next step is late", "Следующий шаг опаздывает"),
    "stuck": ("It stands: nothing moves it by itself", "Стоит: само по себе не сдвинется"),
    "missing": ("There is no such order here", "Такого заказа здесь нет"),
}
HOPS: Final[Words] = {
    "accepted": ("accepted, receipt given", "принят, квитанция выдана"),
    "kept": ("saved to be carried on", "сохранён для передачи дальше"),
    "sent": ("carried, the broker confirmed", "передан, брокер подтвердил"),
    "received": ("arrived at its receiver", "дошёл до получателя"),
    "handled": ("handled by its receiver", "обработан получателем"),
    "priced": ("priced", "оценён"),
    "approved": ("approved for making", "согласован в производство"),
    "intent": ("about to be sent to the MES", "намерение отправить в MES записано"),
    "confirmed": ("confirmed by the MES", "подтверждён MES"),
    "said": ("the MES's own word", "слово самой MES"),
}
OWNERS: Final[Words] = {
    "engine": ("the program", "программа"),
    "mes": ("the MES", "MES"),
    "client": ("the client", "клиент"),
    "seller": ("the seller", "продавец"),
    "operator": ("the operator", "оператор"),
    "head": ("the head of operators", "старший операторов"),
    "support": ("support", "поддержка"),
    "carrier": ("the carrier", "перевозчик"),
    "admin": ("the administrator", "администратор"),
}
RULES: Final[Words] = {
    "S1": (
        "An accepted order is kept for ever: its number was given out, and it is not there",
        "Принятый заказ хранится всегда: номер выдан, а заказа нет",
    ),
    "S3": (
        "Made at most once: the MES's answer was unclear, so it is not sent again blindly",
        "Не делать дважды: ответ MES неясен, поэтому вслепую заказ не повторяют",
    ),
    "S4": (
        "We say the MES has it, and the MES does not show it",
        "По нашим данным заказ в MES, а MES его не показывает",
    ),
    "S6": (
        "Every order in motion has something that moves it: here there is nothing",
        "У каждого заказа в пути есть то, что его двигает: здесь этого нет",
    ),
    "S9": (
        "The MES has a job that we never asked it for",
        "В MES есть работа, о которой мы не просили",
    ),
    "confirm": (
        "What the broker confirmed has to arrive: it was carried and did not",
        "Подтверждённое брокером должно дойти: отправлено, но не дошло",
    ),
    "relay": (
        "What is saved has to be carried: the relay stands, or the broker is away",
        "Сохранённое должно уйти: передача стоит или брокер недоступен",
    ),
    "quarantine": (
        "It could not be handled and was put aside with its reason",
        "Обработать не удалось, отложено с указанием причины",
    ),
    "worker": (
        "It arrived and nobody handles it: a worker stands",
        "Дошло, но никто не обрабатывает: стоит обработчик",
    ),
    "engine": (
        "The price engine has the question and does not answer",
        "Расчёт цены получил вопрос и не отвечает",
    ),
    "away": (
        "The MES is away, too slow, or does not go on with it",
        "MES недоступна, слишком медлит или не продолжает",
    ),
    "refused": ("The MES refused it", "MES отказалась"),
    "diverged": (
        "The MES says what cannot be after our history",
        "MES сообщает то, чего по нашей истории быть не может",
    ),
    "gave_up": ("A person stopped the delivery", "Доставку остановил человек"),
    "late": ("Whoever owes the next step is late", "Тот, за кем следующий шаг, опаздывает"),
}
STEPS: Final[Words] = {
    "verify": (
        "Run `orderkeep verify` and call the administrator",
        "Запустите `orderkeep verify` и позовите администратора",
    ),
    "restore": ("Compare with the last backup", "Сверьте с последней резервной копией"),
    "ask_receipt": (
        "Ask the client for the receipt or the answer they got",
        "Попросите у клиента квитанцию или полученный ответ",
    ),
    "check_number": (
        "Read the number again: one digit may be wrong",
        "Перечитайте номер: одна цифра может быть неверной",
    ),
    "look_lost": (
        "Look for it among the orders held elsewhere",
        "Поищите среди заказов других систем",
    ),
    "reconcile": (
        "Open the comparison with the MES and settle it there",
        "Откройте сверку с MES и решите там",
    ),
    "resend": (
        "If the MES truly does not have it, send it again",
        "Если в MES его точно нет, отправьте заново",
    ),
    "ask_mes": ("Ask the people at the MES", "Спросите тех, кто ведёт MES"),
    "settle": ("Decide on the order's page what holds", "Решите на странице заказа, что верно"),
    "decide": (
        "Look into the MES and decide: it is there, or send again",
        "Посмотрите в MES и решите: там, или отправить снова",
    ),
    "read_reason": (
        "Read the MES's reason on the order's page",
        "Прочтите причину MES на странице заказа",
    ),
    "dead_letters": (
        "Open the dead letters, mend the cause, replay",
        "Откройте отложенные сообщения, устраните причину, повторите",
    ),
    "look_at_mes": ("See whether the MES answers at all", "Проверьте, отвечает ли MES вообще"),
    "pause": (
        "If it is being maintained, nothing has to be done: it goes on by itself",
        "Если идут работы, делать ничего не надо: продолжится само",
    ),
    "enter_price": ("Enter the price by hand", "Введите цену вручную"),
    "look_at_engine": ("See whether the role quoter runs", "Проверьте, работает ли роль quoter"),
    "look_at_broker": (
        "See whether the role relay runs and the broker answers",
        "Проверьте, работает ли роль relay и отвечает ли брокер",
    ),
    "look_at_workers": (
        "See whether the roles bridge and quoter run",
        "Проверьте, работают ли роли bridge и quoter",
    ),
    "ask_client": ("Ask the client", "Спросите клиента"),
    "ask_seller": ("Ask the seller", "Спросите продавца"),
    "ask_operator": ("Ask the operator or the head", "Спросите оператора или старшего"),
    "ask_head": ("Ask the head of operators", "Спросите старшего операторов"),
    "ask_support": (
        "It is with support: decide on the order's page",
        "Это за поддержкой: решите на странице заказа",
    ),
    "ask_carrier": (
        "Ask the carrier by the parcel's number",
        "Спросите перевозчика по номеру посылки",
    ),
}
DIFFERENCES: Final[Words] = {
    "missing": ("Its number was given out, and it is not there", "Номер выдан, а заказа нет"),
    "stranded": ("It is in motion, and nothing moves it", "В пути, но ничто его не двигает"),
    "nowhere": ("It is in none of the classes", "Не попадает ни в один класс"),
    "miscounted": ("Two counts of the same differ", "Два подсчёта одного и того же расходятся"),
    "not_carried": ("The broker has not taken it over", "Брокер его не принял"),
    "crm_late": (
        "The CRM has not been told what is new",
        "CRM ещё не знает новостей заказа",
    ),
    "crm_refused": ("The CRM did not take the last news", "CRM не приняла последнюю новость"),
    "crm_differs": ("The CRM shows it otherwise", "В CRM заказ показан иначе"),
    "overdue": ("The broker confirmed it, and it did not arrive", "Брокер принял, но не доставил"),
    "missing_there": ("The MES does not have it", "В MES его нет"),
    "missing_here": ("The MES has it, and we do not know of it", "В MES есть, а у нас нет"),
    "differs": ("The MES says something else than we do", "В MES записано иначе, чем у нас"),
    "stuck": ("The MES does not go on with it", "MES не продолжает"),
}
ADVICE: Final[Words] = {
    "missing_there": (
        (
            "Look into the MES by this number. If it is truly not there, send it again: it leaves"
            " only once two more look-ups have denied it."
        ),
        (
            "Найдите этот номер в MES. Если его там точно нет, отправьте снова: заказ уйдёт только"
            " после ещё двух отрицательных проверок."
        ),
    ),
    "missing_here": (
        (
            "Ask at the MES who ordered it. If nobody did, have it stopped there; nothing here"
            " sends or recalls it."
        ),
        (
            "Узнайте в MES, кто это заказал. Если никто, остановите там; отсюда ничего не"
            " отправляется и не отзывается."
        ),
    ),
    "differs": (
        "If the MES is right, take its word over. If we are, have it corrected there.",
        "Если права MES, примите её слово. Если правы мы, попросите исправить там.",
    ),
    "stuck": (
        "Ask at the MES why it does not go on, and tell the client in time.",
        "Узнайте в MES, почему работа стоит, и вовремя предупредите клиента.",
    ),
}
SYSTEMS: Final[Words] = {
    "own": ("our own tables", "наши таблицы"),
    "mes": ("MES", "MES"),
    "crm": ("CRM", "CRM"),
    "broker": ("broker", "брокер"),
}


def both(words: Words, code: str | None) -> dict[str, str] | None:
    """A code's words as the wire carries them: ``{"en": …, "ru": …}``; None for no code."""
    if code is None:
        return None
    english, russian = words[code]
    return {"en": english, "ru": russian}


def say(words: Words, code: str, language: str) -> str:
    """A code's words in one language."""
    return words[code][LANGUAGES.index(language)]
