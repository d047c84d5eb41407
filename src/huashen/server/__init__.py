"""Serving: sessions over HTTP, WebRTC and WebSocket, and the page. The only asyncio in Huashen is in this folder.

`app.py` holds the routes, `room.py` a session with its viewers and its conversation, `webrtc.py` and `socket.py` the two ways to the
browser, `house.py` what a server offers and its limits, `page/` what the browser loads.
"""
