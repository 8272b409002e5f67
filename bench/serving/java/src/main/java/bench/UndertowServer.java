package bench;

import io.undertow.Undertow;
import io.undertow.server.handlers.BlockingHandler;
import io.undertow.util.Headers;
import java.nio.ByteBuffer;

/** Undertow, which hands a request to a thread of its workers once its head is read. */
final class UndertowServer {
  private UndertowServer() {}

  static void start(int port) {
    Undertow.builder()
        .addHttpListener(port, "127.0.0.1")
        .setWorkerThreads(Main.THREADS)
        .setHandler(
            new BlockingHandler(
                exchange -> {
                  byte[] answer = Answer.to(exchange.getInputStream().readAllBytes());
                  exchange.getResponseHeaders().put(Headers.CONTENT_TYPE, Answer.TYPE);
                  exchange.getResponseSender().send(ByteBuffer.wrap(answer));
                }))
        .build()
        .start();
  }
}
