"""The one path of the WebSockets, with what is checked before the upgrade."""

from __future__ import annotations

from flask import Blueprint, Response, request

from application.facade import Application
from application.ports.runtime import VerifiedToken
from entrypoints.http import auth
from entrypoints.websocket.chat import ChatSockets
from entrypoints.websocket.sockets import Sockets


def blueprint(app: Application, sockets: Sockets, chats: ChatSockets) -> Blueprint:
    """`/ws/chat/`, over `app`, for whoever has a token and comes from a page that may."""
    routes = Blueprint("websocket", __name__)

    @routes.get("/ws/chat/")
    @routes.get("/ws/chat/", websocket=True)
    def chat() -> Response:
        """Become a WebSocket: errors before that are ordinary answers."""
        auth.refuse_other_sites()
        known = VerifiedToken(auth.principal(), auth.expires_at())
        return sockets.upgrade(
            request.environ,
            known.principal.key,
            lambda connection: chats.converse(connection, known),
            subprotocol=auth.subprotocol(),
        )

    return routes
