"""Order numbers in addresses."""

from orderkeep.kernel.ids import OrderNo, order_n, order_no
from orderkeep.orders.ports import OrderNotFound


def order_number(text: str) -> OrderNo:
    """The order number in an address; a wrong check digit is as unknown as none.

    Raises:
        OrderNotFound: it cannot be an order's number.
    """
    n = order_n(text)
    if n is None:
        raise OrderNotFound("There is no such order: look at the number again.")
    return order_no(n)
