/**
 * What the order's own rules answer, in Russian. The office says them in English and names the
 * same sentence every time; one that is not here yet is shown as it came.
 */
export const REFUSALS_RU: Readonly<Record<string, string>> = {
  "The order is closed.": "заказ уже завершён.",
  "The order is cancelled.": "заказ отменён.",
  "The parcel has left already.": "посылка уже ушла.",
  "The order is held.": "заказ на удержании.",
  "There is no price yet, or it is past approval.": "цены ещё нет, или заказ уже одобрен.",
  "The price has expired; ask for it anew.": "цена истекла; запросите её заново.",
  "Only a shipped order is closed.": "закрыть можно только отгруженный заказ.",
  "A return is open.": "по заказу открыт возврат.",
  "It has been shipped; open a return instead.": "он уже отгружен; откройте возврат.",
  "Ask for the cancellation first.": "сначала попросите отменить заказ.",
  "The MES has not answered yet.": "мастерская ещё не ответила.",
  "Work has begun: the head of operators confirms, not who asked.":
    "работа начата: отмену подтверждает старший оператор, а не тот, кто её просил.",
  "A hold has a reason and an owner.": "у удержания есть причина и ответственный.",
  "It is held already; lift that first.": "заказ уже удержан; сначала снимите удержание.",
  "A hold ends in the future.": "удержание заканчивается в будущем.",
  "The clock stops only while we wait for the client.": "срок останавливается, только пока ждём клиента.",
  "Only a shipped order comes back.": "вернуть можно только отгруженный заказ.",
  "No return is open.": "возврат не открыт.",
  "The price has risen; the client has to agree first.": "цена выросла; сначала нужно согласие клиента.",
  "A model file is rejected.": "файл модели не годится.",
  "No date is promised.": "не обещана дата.",
  "It cannot be taken now.": "сейчас его нельзя взять.",
  "Work has started; hand it back instead.": "работа начата; верните его неготовым.",
  "Nobody holds it.": "он ни за кем.",
  "It is cancelled, or to be cancelled.": "он отменён, или его просят отменить.",
  "Only a finished piece is made again.": "переделать можно только готовое изделие.",
  "It has been made again too often.": "его переделывали слишком много раз.",
  "It is to be cancelled; decide that first.": "его просят отменить; сначала решите это.",
  "Say how it is known that the old work order is gone.": "скажите, откуда известно, что старого наряда нет.",
  "It is sent back while it is being made, or when the MES refused it.":
    "вернуть на расчёт можно во время работы или после отказа мастерской.",
  "The head of operators confirms that.": "это подтверждает старший оператор.",
  "It has already been submitted.": "он уже отправлен.",
  "A price is entered before the approval.": "цену называют до одобрения.",
  "A price is more than nothing.": "цена больше нуля.",
  "A price is asked anew before the approval.": "цену пересчитывают до одобрения.",
  "There is a newer price; read it first.": "есть более новая цена; сначала посмотрите её.",
  "Files change before the approval.": "файлы меняют до одобрения.",
  "That position has no model file.": "у этой позиции нет файла.",
  "Not possible at this stage; take it first.": "сначала возьмите его.",
  "Not possible now.": "на этом этапе так нельзя.",
  "There is no work order here.": "наряда ещё нет.",
  "The work is done in another system.": "работа ведётся в другой системе.",
  "A promise lies in the future.": "обещание должно быть в будущем.",
  "It is a copy: its home is the shop's system.": "это копия: заказ ведёт система магазина.",
}

const TAKEN = /^(.+) has taken it\.$/

/** The sentence in the reader's language. */
export function refusalIn(locale: string, sentence: string): string {
  if (locale !== "ru") return sentence
  return REFUSALS_RU[sentence] ?? sentence.replace(TAKEN, "его уже взял $1.")
}
