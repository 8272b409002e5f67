"""Starts MLServer on a port with the one model, in the server's own process: for a small model that is its fastest."""

from __future__ import annotations

import asyncio
import sys

from mlserver import MLServer, ModelSettings, Settings
from mlserver_runtime import Bench


async def main(port: int) -> None:
    settings = Settings(
        host="127.0.0.1",
        http_port=port,
        grpc_port=0,  # a free one
        metrics_port=0,
        parallel_workers=0,
        debug=False,
    )
    server = MLServer(settings)
    await server.start([ModelSettings(name="bench", implementation=Bench)])


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
