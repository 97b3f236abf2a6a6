"""What a problem's ``type`` says when a person opens it, in Russian and English."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from orderkeep.http.problems import BUG, PROBLEMS

_FALLBACK = "en"


class Words(NamedTuple):
    """A problem told to a person: its name, what it means, and what to do."""

    title: str
    meaning: str
    remedy: str


def page(slug: str, accept_language: str) -> str | None:
    """The page of a problem in the language wanted most; None if there is no such problem."""
    told = PAGES.get(slug)
    if told is None:
        return None
    language = _language(accept_language)
    words = told[language]
    status = _STATUSES[slug]
    return (
        f'<!doctype html><html lang="{language}"><meta charset="utf-8">'
        f"<title>{escape(words.title)}</title><h1>{escape(words.title)}</h1>"
        f"<p><code>HTTP {status} · /problems/{slug}</code></p>"
        f"<p>{escape(words.meaning)}</p><p>{escape(words.remedy)}</p></html>"
    )


def _language(accept_language: str) -> str:
    wanted = [_weighed(part) for part in accept_language[:200].split(",")]
    for _, language in sorted(wanted, key=lambda one: -one[0]):
        if language in {"ru", "en"}:
            return language
    return _FALLBACK


def _weighed(part: str) -> tuple[float, str]:
    tag, _, weight = part.partition(";q=")
    try:
        return float(weight or 1), tag.strip().lower()[:2]
    except ValueError:
        return 0.0, ""


_STATUSES = {problem.slug: problem.status for problem in [*PROBLEMS.values(), BUG]}


def _told(
    slug: str, english: Sequence[str], russian: Sequence[str]
) -> tuple[str, Mapping[str, Words]]:
    return slug, {"en": Words(*english), "ru": Words(*russian)}


PAGES: Mapping[str, Mapping[str, Words]] = dict([
    _told(
        "bad-request",
        (
            "Not a request we can understand",
            "The request breaks the rules of HTTP, or says the same thing twice.",
            "Send it with an ordinary HTTP/1.1 client, with one Host header and no upgrade.",
        ),
        (
            "Запрос непонятен",
            "Запрос нарушает правила HTTP или говорит одно и то же дважды.",
            "Отправьте его обычным клиентом HTTP/1.1, с одним заголовком Host и без Upgrade.",
        ),
    ),
    _told(
        "malformed-body",
        (
            "The body is not strict JSON",
            ("It must be one JSON value in UTF-8: no name twice, no NaN, half characters or NUL,"
            " no deep nesting, no giant numbers."),
            "Look at `errors`: each fault has a JSON pointer.",
        ),
        (
            "Тело — не строгий JSON",
            ("Нужно одно значение JSON в UTF-8: без повторов имён, NaN, половинок символов, NUL,"
            " глубокой вложенности и огромных чисел."),
            "Смотрите `errors`: у каждой ошибки есть указатель JSON.",
        ),
    ),
    _told(
        "bad-parameters",
        (
            "A parameter is not as it must be",
            "A query parameter or a header has a value that cannot be used.",
            "Look at `errors`: the pointer names the parameter.",
        ),
        (
            "Параметр задан неверно",
            "Параметр запроса или заголовок имеет недопустимое значение.",
            "Смотрите `errors`: указатель называет параметр.",
        ),
    ),
    _told(
        "idempotency-key",
        (
            "An Idempotency-Key is needed",
            "Without it, a repetition after a lost answer could become a second order.",
            ("Send the header Idempotency-Key with 1 to 255 visible ASCII characters, a UUID for"
            " example, and the same one when you repeat the request."),
        ),
        (
            "Нужен Idempotency-Key",
            "Без него повтор после потерянного ответа мог бы стать вторым заказом.",
            ("Пришлите заголовок Idempotency-Key: от 1 до 255 видимых символов ASCII, например"
            " UUID; при повторе запроса — тот же самый."),
        ),
    ),
    _told(
        "wrong-key",
        (
            "No valid key came with the request",
            "The key is missing, wrong or revoked.",
            "Send Authorization: Bearer <key>. Your contact at the workshop makes keys.",
        ),
        (
            "В запросе нет действующего ключа",
            "Ключа нет, он неверен или отозван.",
            "Пришлите Authorization: Bearer <ключ>. Ключи выдаёт ваш контакт в мастерской.",
        ),
    ),
    _told(
        "not-found",
        (
            "There is nothing at this address",
            "The address is misspelt or does not exist.",
            "The interface is described at /openapi.json.",
        ),
        (
            "По этому адресу ничего нет",
            "Адрес написан с ошибкой или не существует.",
            "Интерфейс описан в /openapi.json.",
        ),
    ),
    _told(
        "method-not-allowed",
        (
            "Not with this method",
            "The address exists, but not for this method.",
            "The header Allow lists the methods it takes.",
        ),
        (
            "Этот метод здесь не работает",
            "Адрес есть, но не для этого метода.",
            "Заголовок Allow перечисляет доступные методы.",
        ),
    ),
    _told(
        "too-slow",
        (
            "The request came too slowly",
            "We waited for the rest of the request, and it did not come in time.",
            "Send it again; with the same Idempotency-Key nothing can happen twice.",
        ),
        (
            "Запрос шёл слишком медленно",
            "Мы ждали продолжения запроса, но оно не пришло вовремя.",
            "Отправьте ещё раз: с тем же Idempotency-Key ничего не произойдёт дважды.",
        ),
    ),
    _told(
        "body-too-large",
        (
            "The body is too large",
            "`limit_bytes` says how much this address takes.",
            "Send less: files go to POST /v1/files, orders name them by their id.",
        ),
        (
            "Тело слишком велико",
            "`limit_bytes` говорит, сколько принимает этот адрес.",
            "Пришлите меньше: файлы — в POST /v1/files, в заказе указывается их идентификатор.",
        ),
    ),
    _told(
        "address-too-long",
        (
            "The address is too long",
            "We read addresses of up to 8 KiB.",
            "Shorten the query.",
        ),
        ("Адрес слишком длинный", "Мы читаем адреса до 8 КиБ.", "Сократите запрос."),
    ),
    _told(
        "unsupported-body",
        (
            "Not this kind of body",
            "The body's type is not the one this address takes, or it is compressed.",
            ("Send Content-Type: application/json for JSON, raw bytes for files, and no"
            " Content-Encoding."),
        ),
        (
            "Тело другого вида",
            "Тип тела не тот, который принимает адрес, или тело сжато.",
            ("Для JSON — Content-Type: application/json, для файлов — сами байты; без"
            " Content-Encoding."),
        ),
    ),
    _told(
        "too-many-requests",
        (
            "The quota is used up",
            "Your key may make a certain number of calls in a certain time: see RateLimit-Policy.",
            "Wait as long as Retry-After says. GET /v1/limits shows the quota and costs nothing.",
        ),
        (
            "Квота исчерпана",
            "Ключу доступно ограниченное число вызовов за время: см. RateLimit-Policy.",
            ("Подождите столько, сколько сказано в Retry-After. GET /v1/limits показывает квоту и"
            " ничего не стоит."),
        ),
    ),
    _told(
        "headers-too-large",
        (
            "The headers are too large",
            "We read up to 100 headers and 32 KiB of them.",
            "Send fewer or shorter headers.",
        ),
        (
            "Заголовки слишком велики",
            "Мы читаем до 100 заголовков и до 32 КиБ.",
            "Пришлите меньше заголовков или сделайте их короче.",
        ),
    ),
    _told(
        "invalid",
        (
            "Understood, but not as it must be",
            "Nothing was stored. `errors` lists everything that is wrong, each with its pointer.",
            "Correct all of it and send it again; the key may stay the same.",
        ),
        (
            "Понятно, но с ошибками",
            "Ничего не сохранено. В `errors` — все ошибки сразу, у каждой свой указатель.",
            "Исправьте всё и отправьте снова; ключ можно оставить прежним.",
        ),
    ),
    _told(
        "key-reused",
        (
            "The key has been used with another body",
            "An Idempotency-Key means one body for ever.",
            "For another order take a new key. To repeat, send exactly the first body.",
        ),
        (
            "Ключ уже использован с другим телом",
            "Idempotency-Key навсегда означает одно тело.",
            "Для другого заказа возьмите новый ключ. Для повтора пришлите то же тело.",
        ),
    ),
    _told(
        "client-ref-taken",
        (
            "The number belongs to another order",
            "Your client_ref already means the order in `order_no`, with another body.",
            "If it is the same order, ask for it; if it is a new one, give it a new number.",
        ),
        (
            "Номер принадлежит другому заказу",
            "Ваш client_ref уже означает заказ `order_no` с другим телом.",
            "Если это тот же заказ — запросите его; если новый — дайте ему новый номер.",
        ),
    ),
    _told(
        "file-not-found",
        (
            "There is no such file",
            "The file does not exist, or it is not yours.",
            "Upload it with POST /v1/files and use the id in the answer.",
        ),
        (
            "Такого файла нет",
            "Файл не существует или принадлежит не вам.",
            "Загрузите его через POST /v1/files и используйте идентификатор из ответа.",
        ),
    ),
    _told(
        "digest-mismatch",
        (
            "The file did not arrive as announced",
            "The SHA-256 of the bytes that came is not the one in the header. Nothing was kept.",
            "Send the file again.",
        ),
        (
            "Файл пришёл не таким, как объявлен",
            "SHA-256 полученных байтов не совпал с указанным. Ничего не сохранено.",
            "Отправьте файл ещё раз.",
        ),
    ),
    _told(
        "files-unavailable",
        (
            "Files cannot be kept at the moment",
            "Our disk is full or away. Nothing was kept.",
            "Send the file again later.",
        ),
        (
            "Сейчас файлы не сохраняются",
            "Наш диск заполнен или недоступен. Ничего не сохранено.",
            "Отправьте файл позже.",
        ),
    ),
    _told(
        "file-unreadable",
        (
            "The model file cannot be read",
            "It is not a model file of a kind we know, or it is broken.",
            "Export it again, best as STL, and upload it.",
        ),
        (
            "Файл модели не читается",
            "Это не файл модели известного вида, или он повреждён.",
            "Экспортируйте его заново, лучше в STL, и загрузите.",
        ),
    ),
    _told(
        "order-not-found",
        (
            "There is no such order",
            "The number is misspelt, or the order is not yours.",
            "Look at the receipt, or ask GET /v1/orders?client_ref=… with your own number.",
        ),
        (
            "Такого заказа нет",
            "Номер написан с ошибкой, или заказ не ваш.",
            "Посмотрите квитанцию или спросите GET /v1/orders?client_ref=… по своему номеру.",
        ),
    ),
    _told(
        "transition-refused",
        (
            "Not possible at this stage",
            "The order is not where this can be done; `stage` says where it is, `reason` why not.",
            "Read the order and decide again.",
        ),
        (
            "На этом этапе невозможно",
            "Заказ не там, где это можно сделать: `stage` — где он, `reason` — почему нельзя.",
            "Прочитайте заказ и решите заново.",
        ),
    ),
    _told(
        "stale-order",
        (
            "The order has changed in the meantime",
            "Someone was faster; nothing was done.",
            "Read the order again, and repeat if you still want it.",
        ),
        (
            "Заказ тем временем изменился",
            "Кто-то успел раньше; ничего не сделано.",
            "Прочитайте заказ снова и повторите, если всё ещё нужно.",
        ),
    ),
    _told(
        "finding-not-found",
        (
            "There is no such finding",
            "The comparison has no finding under this number.",
            "Open the list of findings again.",
        ),
        (
            "Такого расхождения нет",
            "Под этим номером сверка ничего не нашла.",
            "Откройте список расхождений заново.",
        ),
    ),
    _told(
        "decision-refused",
        (
            "The finding does not allow that",
            "It has been settled meanwhile, or the decision does not help against it.",
            "Read the finding again and choose among what it offers.",
        ),
        (
            "Расхождение этого не допускает",
            "Его уже решили, или это решение против него не помогает.",
            "Прочитайте расхождение снова и выберите из предложенного.",
        ),
    ),
    _told(
        "step-refused",
        (
            "The source cannot go there now",
            "A source is taken over step by step, and each step has its conditions.",
            "Read the reason: it says what has to be done first.",
        ),
        (
            "Сейчас источник туда не перевести",
            "Источник забирают по шагам, и у каждого шага есть свои условия.",
            "Прочитайте причину: в ней сказано, что сделать сначала.",
        ),
    ),
    _told(
        "currency-mismatch",
        (
            "Not the price book's currency",
            "Amounts of two currencies cannot be added.",
            "Give the amount in the price book's currency.",
        ),
        (
            "Не та валюта",
            "Суммы в двух валютах нельзя сложить.",
            "Укажите сумму в валюте прейскуранта.",
        ),
    ),
    _told(
        "wrong-credentials",
        (
            "Login or password is wrong",
            "Which of the two is not told.",
            "Try again; an administrator can set a new password.",
        ),
        (
            "Неверный логин или пароль",
            "Что именно неверно, не сообщается.",
            "Попробуйте снова; новый пароль может задать администратор.",
        ),
    ),
    _told(
        "not-signed-in",
        ("Nobody is signed in", "The session has ended.", "Sign in again."),
        ("Вход не выполнен", "Сеанс закончился.", "Войдите снова."),
    ),
    _told(
        "not-allowed",
        (
            "Your role may not do this",
            "It belongs to another role.",
            "Ask a colleague with the right, or an administrator.",
        ),
        (
            "Вашей роли это не разрешено",
            "Это право другой роли.",
            "Попросите коллегу с этим правом или администратора.",
        ),
    ),
    _told(
        "too-many-failures",
        (
            "Too many wrong attempts",
            "Signing in is closed for a while.",
            "Wait as long as Retry-After says.",
        ),
        (
            "Слишком много неудачных попыток",
            "Вход на время закрыт.",
            "Подождите столько, сколько сказано в Retry-After.",
        ),
    ),
    _told(
        "person-not-found",
        ("There is no such person", "The person does not exist.", "Look at the list of people."),
        ("Такого человека нет", "Этот человек не заведён.", "Посмотрите список людей."),
    ),
    _told(
        "login-taken",
        ("The login is taken", "Another person has it.", "Choose another login."),
        ("Логин занят", "Он у другого человека.", "Выберите другой логин."),
    ),
    _told(
        "partner-not-found",
        ("There is no such partner", "The partner does not exist.", "Look at the partners' list."),
        ("Такого партнёра нет", "Этот партнёр не заведён.", "Посмотрите список партнёров."),
    ),
    _told(
        "partner-name-taken",
        ("The name is taken", "Another partner has it.", "Choose another name."),
        ("Имя занято", "Оно у другого партнёра.", "Выберите другое имя."),
    ),
    _told(
        "key-not-found",
        ("There is no such key", "It does not exist or is revoked.", "Look at the keys' list."),
        ("Такого ключа нет", "Его нет, или он уже отозван.", "Посмотрите список ключей."),
    ),
    _told(
        "too-many-views",
        ("No more views can be kept", "There is a limit for each person.", "Delete one first."),
        ("Больше видов сохранить нельзя", "У каждого есть предел.", "Сначала удалите один."),
    ),
    _told(
        "mes-rejected",
        (
            "The workshop's system said no",
            "It understood the work order and refused it.",
            "Read its reason on the order's page and decide there.",
        ),
        (
            "Система мастерской отказала",
            "Она поняла наряд и отклонила его.",
            "Прочитайте причину на странице заказа и решите там.",
        ),
    ),
    _told(
        "recall-refused",
        (
            "The workshop's system did not give it back",
            "The work order stays there.",
            "Decide on the order's page whether to cancel all the same.",
        ),
        (
            "Система мастерской не вернула наряд",
            "Наряд остаётся у неё.",
            "Решите на странице заказа, отменять ли всё равно.",
        ),
    ),
    _told(
        "mes-unavailable",
        (
            "The workshop's system cannot be reached",
            "Nothing was done there; we try again by ourselves.",
            "Wait.",
        ),
        (
            "Система мастерской недоступна",
            "Там ничего не сделано; мы повторим сами.",
            "Подождите.",
        ),
    ),
    _told(
        "mes-outcome-unknown",
        (
            "The workshop's system left it open",
            "It may have done it. We look it up before anything is sent again.",
            "Look at the order's page.",
        ),
        (
            "Система мастерской не ответила ясно",
            "Возможно, она это сделала. Прежде чем отправлять снова, мы проверим.",
            "Смотрите страницу заказа.",
        ),
    ),
    _told(
        "engine-unavailable",
        ("The price engine is not at hand", "Nothing was priced.", "Try again later."),
        ("Расчёт цены недоступен", "Цена не посчитана.", "Попробуйте позже."),
    ),
    _told(
        "busy",
        (
            "Too busy for the moment",
            "More comes in than can be kept. Nothing of this request was stored.",
            "Send it again after Retry-After, with the same key.",
        ),
        (
            "Сейчас слишком много работы",
            "Приходит больше, чем можно сохранить. Из этого запроса ничего не сохранено.",
            "Отправьте снова через Retry-After, с тем же ключом.",
        ),
    ),
    _told(
        "send-again",
        (
            "Maybe saved; send it again as it was",
            "The disk failed at the worst moment: it may be kept or not.",
            "Send it again with the same key; it cannot become two.",
        ),
        (
            "Возможно, сохранено; отправьте то же ещё раз",
            "Диск отказал в худший момент: сохранено или нет — неизвестно.",
            "Отправьте снова с тем же ключом; двух не получится.",
        ),
    ),
    _told(
        "letter-not-found",
        (
            "There is no such dead letter",
            "It has been handled meanwhile, or never was there.",
            "Read the list again.",
        ),
        (
            "Такого отложенного сообщения нет",
            "Его уже обработали, или его не было.",
            "Прочитайте список снова.",
        ),
    ),
    _told(
        "replay-refused",
        (
            "Not possible with this replay",
            "`detail` says why: nothing can be sent, it has ended, or a second person is needed.",
            "Read the replay again; an approval has to come from somebody else.",
        ),
        (
            "Для этой повторной отправки невозможно",
            "Причина — в `detail`: отправлять нечего, она закончена или нужен второй человек.",
            "Прочитайте её снова; подтвердить должен кто-то другой.",
        ),
    ),
    _told(
        "replay-changed",
        ("Somebody has changed the replay", "Nothing was done.", "Read it again and decide again."),
        (
            "Кто-то уже изменил повторную отправку",
            "Ничего не сделано.",
            "Прочитайте её снова и решите заново.",
        ),
    ),
    _told(
        "refused",
        ("Understood, and not possible", "`detail` says why.", "Change the request."),
        ("Понятно, но невозможно", "Причина — в `detail`.", "Измените запрос."),
    ),
    _told(
        "conflict",
        ("Someone was faster", "Nothing was done.", "Read again and decide again."),
        ("Кто-то успел раньше", "Ничего не сделано.", "Прочитайте снова и решите заново."),
    ),
    _told(
        "unavailable",
        ("Not possible at the moment", "Nothing was done.", "Try again later."),
        ("Сейчас невозможно", "Ничего не сделано.", "Попробуйте позже."),
    ),
    _told(
        "uncertain",
        (
            "It may have been done",
            "We do not know yet.",
            "Read before you repeat, or repeat with the same key.",
        ),
        (
            "Возможно, сделано",
            "Мы пока не знаем.",
            "Прочитайте, прежде чем повторять, или повторите с тем же ключом.",
        ),
    ),
    _told(
        "internal",
        (
            "A fault of ours",
            "Something broke that should not; it has been recorded.",
            "Tell support the X-Request-Id. With the same Idempotency-Key it is safe to repeat.",
        ),
        (
            "Наша ошибка",
            "Сломалось то, что не должно; это записано.",
            "Сообщите поддержке X-Request-Id. С тем же Idempotency-Key повторять безопасно.",
        ),
    ),
])  # fmt: skip
"""Words for every problem there is, by its slug."""
