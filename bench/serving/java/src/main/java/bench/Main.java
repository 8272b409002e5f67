package bench;

import java.util.Map;
import java.util.concurrent.Executors;

/** `java -jar bench.jar SERVER PORT`: the handler behind that server, on loopback, until a signal comes. */
public final class Main {
  /** The threads that handlers run on, where the server does not bring its own: as many as the runtime has. */
  static final int THREADS = 64;

  private static final Map<String, Start> SERVERS =
      Map.of(
          "jdk", port -> Jdk.start(port, Executors.newFixedThreadPool(THREADS)),
          "jdk-virtual", port -> Jdk.start(port, Executors.newVirtualThreadPerTaskExecutor()),
          "undertow", UndertowServer::start,
          "netty", NettyServer::start,
          "helidon", Helidon::start);

  private Main() {}

  /** Serve. */
  public static void main(String[] arguments) throws Exception {
    SERVERS.get(arguments[0]).at(Integer.parseInt(arguments[1]));
  }

  /** What begins to serve on a port of loopback. */
  private interface Start {
    void at(int port) throws Exception;
  }
}
