"""Shows that the judge can find something: a loss and a vector without a passage, made for it."""

from dataclasses import replace

from client import Client
from judge import Stores, judge
from model import Model
from shell import sql

SEEN = ("is not there; it may be", "points have no passage", "passages have no point")


async def unseen(client: Client, model: Model, stores: Stores) -> list[str]:
    """Break the stores behind the services' backs; the kinds of damage that the judge overlooks."""
    # Of those that must be there: one whose last write is of unknown outcome may be gone by right.
    there = [one for one in model.documents if one.settled and one.text is not None]
    lost, kept = there[0], there[-1]
    ((passage, index),) = await sql(
        "select c.id, g.index_name from chunks c"
        " join documents d on d.id = c.document_id"
        " join generations g on g.collection = d.collection and g.state = 'live'"
        f" where d.id = '{kept.id}' order by c.id limit 1"
    )
    await sql(f"delete from documents where id = '{lost.id}'")
    async with stores.index() as http:
        wanted = {"points": [passage]}
        got = await http.post(f"/collections/{index}/points/delete?wait=true", json=wanted)
        got.raise_for_status()
    second = replace(model, violations=[], aloud=False)
    await judge(replace(client, model=second), second, stores)
    return [kind for kind in SEEN if not any(kind in one for one in second.violations)]
