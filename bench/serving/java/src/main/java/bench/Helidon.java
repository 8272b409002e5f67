package bench;

import io.helidon.http.HeaderNames;
import io.helidon.webserver.WebServer;
import io.helidon.webserver.http.Handler;

/** Helidon SE, which has a virtual thread a connection. */
final class Helidon {
  private Helidon() {}

  static void start(int port) {
    Handler handler =
        (request, response) -> {
          byte[] body = request.content().hasEntity() ? request.content().as(byte[].class) : new byte[0];
          response.header(HeaderNames.CONTENT_TYPE, Answer.TYPE).send(Answer.to(body));
        };
    WebServer.builder()
        .host("127.0.0.1")
        .port(port)
        .routing(routing -> routing.get("/", handler).post("/", handler))
        .build()
        .start();
  }
}
