"""What the routes share, as parameters that FastAPI fills in."""

from typing import Annotated

from fastapi import Depends, Request

from api.predictor import Loaded, Predictor
from api.store import Store


async def _predictor(request: Request) -> Predictor:
    predictor: Predictor = request.app.state.predictor
    return predictor


async def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


def _loaded(request: Request) -> Loaded:
    loaded: Loaded = request.app.state.predictor.loaded()
    return loaded


ThePredictor = Annotated[Predictor, Depends(_predictor)]
TheStore = Annotated[Store, Depends(_store)]
TheModel = Annotated[Loaded, Depends(_loaded)]
