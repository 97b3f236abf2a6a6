"""A submitted item as a line of the order."""

from collections.abc import Mapping

from orderkeep.files.ports import StoredFile
from orderkeep.intake.submission import ItemBody
from orderkeep.kernel.ids import FileId
from orderkeep.orders.order import Position


def position(number: int, item: ItemBody, files: Mapping[FileId, StoredFile]) -> Position:
    """One line of the order, bound to the bytes of its file as they are now and for ever."""
    file = files.get(FileId(item.file_id)) if item.file_id is not None else None
    return Position(
        position=number,
        quantity=item.quantity,
        material=item.material,
        file_id=file.id if file else None,
        file_sha256=file.sha256 if file else None,
        file_name=file.name if file else None,
        sku=item.sku,
        engraving=item.engraving,
    )
