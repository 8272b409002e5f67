package penstock.function;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

/** The function over HTTP: predictions by two protocols, and health. */
final class Server {
  private static final int MAX_BODY = 8 << 20;
  private static final int MAX_INIT = 64 << 20; // OpenWhisk allows 48 MB of code, and as base64 in JSON it is what it sends
  // As parsed JSON the largest bodies take up to 200 MB each: so many of them may be in work at once.
  private static final int LARGE_BODY = 64 << 10;
  private static final int MAX_LARGE = 4;
  private static final int THREADS = 64;
  private static final int DRAIN_SECONDS = 10; // Kubernetes kills after 30
  // By these a caller knows its request again: its own id, and W3C's trace context.
  private static final List<String> TRACED = List.of("x-request-id", "traceparent");

  /** What a path does: its method, the largest body, the answer to a body, to a refusal, and what follows either. */
  private record Route(
      String method, int limit, Function<byte[], Reply> work, Function<Refusal, Reply> refusing, Runnable after) {}

  private final Service service;
  private final HttpServer http;
  private final Map<String, Route> routes;
  private final Semaphore large = new Semaphore(MAX_LARGE);
  private final Semaphore threads = new Semaphore(THREADS);

  /** Listen; the port 0 takes a free one. */
  Server(Service service, InetSocketAddress address) throws IOException {
    this.service = service;
    OpenWhisk openWhisk = new OpenWhisk(service);
    Runnable nothing = () -> {};
    this.routes = Map.of(
        "/predict",
        new Route("POST", MAX_BODY, body -> Reply.json(200, service.predict(Json.parse(body))), Reply::refusing, nothing),
        "/health",
        new Route("GET", MAX_BODY, body -> health(), Reply::refusing, nothing),
        "/init",
        new Route("POST", MAX_INIT, body -> Reply.json(200, openWhisk.init(body)), Server::initFailed, nothing),
        "/run",
        new Route("POST", MAX_BODY, body -> Reply.json(200, openWhisk.run(body)), OpenWhisk::refusing,
            OpenWhisk::endOfActivation));
    // Without it an answer waits 40 ms for the client to acknowledge its head.
    System.setProperty("sun.net.httpserver.nodelay", "true");
    // Seconds that a client may take to send a request.
    System.setProperty("sun.net.httpserver.maxReqTime", "30");
    // Bytes of a request's head.
    System.setProperty("sun.net.httpserver.maxReqHeaderSize", "65536");
    this.http = HttpServer.create(address, 0);
    http.createContext("/", this::handle);
    http.setExecutor(Executors.newFixedThreadPool(THREADS, task -> {
      Thread thread = new Thread(task, "serve");
      thread.setDaemon(true);
      return thread;
    }));
  }

  /** Begin to answer; the address, with the port that was taken. */
  InetSocketAddress start() {
    http.start();
    return http.getAddress();
  }

  /** Answer the requests in hand, then stop. */
  void stop() {
    try {
      // Whoever is at work holds one of them.
      threads.tryAcquire(THREADS, DRAIN_SECONDS, TimeUnit.SECONDS);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
    http.stop(0);
  }

  private void handle(HttpExchange exchange) throws IOException {
    threads.acquireUninterruptibly();
    try (exchange) {
      String path = exchange.getRequestURI().getPath();
      Route route = routes.get(path);
      Reply reply = route == null || !route.method().equals(exchange.getRequestMethod())
          ? unknown(exchange, path, route)
          : answered(exchange, path, route);
      send(exchange, reply);
    } finally {
      threads.release();
    }
  }

  private Reply answered(HttpExchange exchange, String path, Route route) throws IOException {
    boolean isLarge = false;
    try {
      refuseExplaining(exchange);
      byte[] body = body(exchange, route.limit());
      isLarge = body.length > LARGE_BODY;
      if (isLarge && !large.tryAcquire()) {
        isLarge = false;
        exchange.getResponseHeaders().set("retry-after", "1");
        throw new Refusal(503, MAX_LARGE + " large requests are in work already: try again");
      }
      return route.work().apply(body);
    } catch (Refusal refusal) {
      return route.refusing().apply(refusal);
    } catch (RuntimeException | VirtualMachineError error) {
      // Not the client's doing: the model or this program failed. Say so, and go on serving.
      Log.failure(path.substring(1) + "_failed", error, traced(exchange));
      return Reply.json(500, Map.of("error", "the model failed: " + error.getClass().getSimpleName()));
    } finally {
      if (isLarge) {
        large.release();
      }
      route.after().run();
    }
  }

  /** The runtime in Python explains answers; here one who asks for that is told, and not given less than he asked for. */
  private static void refuseExplaining(HttpExchange exchange) {
    String query = exchange.getRequestURI().getRawQuery();
    if (query != null && List.of(query.split("&")).contains("explain=true")) {
      throw new Refusal(422, "answers are not explained by this runtime: ask without explain=true");
    }
  }

  private static byte[] body(HttpExchange exchange, int limit) throws IOException {
    try (InputStream stream = exchange.getRequestBody()) {
      byte[] body = stream.readNBytes(limit + 1);
      if (body.length > limit) {
        throw new Refusal(413, "the body is larger than " + limit + " bytes: send fewer records in a request");
      }
      return body;
    }
  }

  private void send(HttpExchange exchange, Reply reply) throws IOException {
    exchange.getResponseHeaders().set("content-type", "application/json");
    service.served().ifPresent(served -> exchange.getResponseHeaders().set("x-penstock-version", served.version()));
    traced(exchange).forEach(exchange.getResponseHeaders()::set);
    exchange.sendResponseHeaders(reply.status(), reply.body().length);
    exchange.getResponseBody().write(reply.body());
  }

  private static Map<String, String> traced(HttpExchange exchange) {
    Map<String, String> traced = new LinkedHashMap<>();
    for (String name : TRACED) {
      String value = exchange.getRequestHeaders().getFirst(name);
      if (value != null) {
        traced.put(name, value);
      }
    }
    return traced;
  }

  private Reply health() {
    return service.served()
        .map(served -> {
          Map<String, Object> ready = new LinkedHashMap<>();
          ready.put("status", "ready");
          ready.put("name", served.name());
          ready.put("version", served.version());
          ready.put("key", served.key());
          return Reply.json(200, ready);
        })
        .orElseGet(() -> Reply.json(503, Map.of("status", "not ready", "reason", service.reason())));
  }

  private static Reply unknown(HttpExchange exchange, String path, Route route) {
    String shown = path.substring(0, Math.min(path.length(), 200));
    String sentence = exchange.getRequestMethod() + " " + shown + " is not served ";
    if (route == null) {
      return Reply.json(404, Map.of("error", sentence + "(Not Found): POST /predict is"));
    }
    exchange.getResponseHeaders().set("allow", route.method());
    return Reply.json(405, Map.of("error", sentence + "(Method Not Allowed): use " + route.method()));
  }

  private static Reply initFailed(Refusal refusal) {
    Log.trouble("init_failed", Map.of("reason", refusal.getMessage()));
    OpenWhisk.endOfActivation(); // a container whose init failed runs nothing more: its log ends here
    return Reply.json(refusal.status(), Map.of("error", refusal.getMessage()));
  }
}
