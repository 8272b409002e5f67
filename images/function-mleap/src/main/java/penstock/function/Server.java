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
import java.util.regex.Matcher;
import java.util.stream.Stream;

/** The function over HTTP: predictions by three protocols, health and metrics. */
final class Server {
  // As parsed JSON the largest bodies take up to 200 MB each: so many of them may be in work at once.
  private static final int LARGE_BODY = 64 << 10;
  private static final int MAX_LARGE = 4;
  private static final int THREADS = 64;
  private static final int DRAIN_SECONDS = 10; // Kubernetes kills after 30
  // By these a caller knows its request again: its own id, and W3C's trace context.
  private static final List<String> TRACED = List.of("x-request-id", "traceparent");

  private final Service service;
  private final HttpServer http;
  private final List<Route> routes;
  private final Semaphore large = new Semaphore(MAX_LARGE);
  private final Semaphore threads = new Semaphore(THREADS);

  /** Listen; the port 0 takes a free one. */
  Server(Service service, InetSocketAddress address) throws IOException {
    this.service = service;
    service.metrics().watch(() -> MAX_LARGE - large.availablePermits());
    this.routes =
        Stream.of(
                List.of(Route.call("/predict", "/predict", this::predict, Reply::refusing)),
                new OpenInference(service).routes(),
                new OpenWhisk(service).routes(),
                List.of(
                    Route.page("/health", request -> health()),
                    Route.page("/metrics", request -> metrics())))
            .flatMap(List::stream)
            .toList();
    // Without it an answer waits 40 ms for the client to acknowledge its head.
    System.setProperty("sun.net.httpserver.nodelay", "true");
    // Seconds that a client may take to send a request.
    System.setProperty("sun.net.httpserver.maxReqTime", "30");
    // Bytes of a request's head.
    System.setProperty("sun.net.httpserver.maxReqHeaderSize", "65536");
    // Beyond so many idle connections (200 unless told) it closes one after its answer, perhaps under the next request.
    System.setProperty("sun.net.httpserver.maxIdleConnections", "1024");
    // Seconds that an idle connection is kept: longer than clients and proxies keep theirs, that none ends under a request.
    System.setProperty("sun.net.httpserver.idleInterval", "75");
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
      for (Route route : routes) {
        Matcher path = route.path().matcher(exchange.getRequestURI().getPath());
        if (path.matches()) {
          serve(exchange, route, path);
          return;
        }
      }
      send(exchange, unknown(exchange, 404, "Not Found", "POST /predict is"));
    } finally {
      threads.release();
    }
  }

  private void serve(HttpExchange exchange, Route route, Matcher path) throws IOException {
    if (!route.method().equals(exchange.getRequestMethod())) {
      exchange.getResponseHeaders().set("allow", route.method());
      send(exchange, unknown(exchange, 405, "Method Not Allowed", "use " + route.method()));
      return;
    }
    long came = System.nanoTime();
    Reply reply = answered(exchange, route, path, came);
    try {
      send(exchange, reply);
    } finally {
      if (route.isCounted()) {
        service.metrics().answered(route.name(), reply.status(), System.nanoTime() - came);
      }
    }
  }

  private Reply answered(HttpExchange exchange, Route route, Matcher path, long came) throws IOException {
    boolean isLarge = false;
    try {
      byte[] body = body(exchange, route.limit());
      isLarge = body.length > LARGE_BODY;
      if (isLarge && !large.tryAcquire()) {
        isLarge = false;
        exchange.getResponseHeaders().set("retry-after", "1");
        throw new Refusal(503, "busy", MAX_LARGE + " such requests are in work already: try again");
      }
      String query = exchange.getRequestURI().getRawQuery();
      return route.work().apply(new Request(path, query, exchange.getRequestHeaders(), body, came));
    } catch (Refusal refusal) {
      failed(route, refusal.kind());
      return route.refusing().apply(refusal);
    } catch (IOException error) {
      failed(route, "client_gone");
      throw error;
    } catch (RuntimeException | VirtualMachineError error) {
      // Not the client's doing: the model or this program failed. Say so, and go on serving.
      Log.failure(route.name().substring(1) + "_failed", error, traced(exchange));
      failed(route, "model");
      return Reply.json(500, Map.of("error", "the model failed: " + error.getClass().getSimpleName()));
    } finally {
      if (isLarge) {
        large.release();
      }
      route.after().run();
    }
  }

  private void failed(Route route, String kind) {
    if (route.isCounted()) {
      service.metrics().failed(kind);
    }
  }

  private static byte[] body(HttpExchange exchange, int limit) throws IOException {
    try (InputStream stream = exchange.getRequestBody()) {
      byte[] body = stream.readNBytes(limit + 1);
      if (body.length > limit) {
        throw new Refusal(
            413, "size", "the body is larger than " + limit + " bytes: send fewer records in a request");
      }
      return body;
    }
  }

  private void send(HttpExchange exchange, Reply reply) throws IOException {
    service.served().ifPresent(served -> exchange.getResponseHeaders().set("x-penstock-version", served.version()));
    traced(exchange).forEach(exchange.getResponseHeaders()::set);
    reply.headers().forEach(exchange.getResponseHeaders()::set);
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

  private Reply predict(Request request) {
    // The runtime in Python explains answers; here one who asks for that is told, and not given less than he asked for.
    if (request.query() != null && List.of(request.query().split("&")).contains("explain=true")) {
      throw new Refusal(422, "input", "answers are not explained by this runtime: ask without explain=true");
    }
    return Reply.json(200, service.predict(Json.parse(request.body())));
  }

  private Reply health() {
    return service.served()
        .map(served -> {
          Map<String, Object> ready = new LinkedHashMap<>();
          ready.put("status", "ready");
          ready.put("name", served.name());
          ready.put("version", served.version());
          ready.put("revision", served.revision());
          ready.put("key", served.key());
          return Reply.json(200, ready);
        })
        .orElseGet(() -> Reply.json(503, Map.of("status", "not ready", "reason", service.reason())));
  }

  private Reply metrics() {
    return Reply.of(200, Metrics.CONTENT_TYPE, service.metrics().text());
  }

  private static Reply unknown(HttpExchange exchange, int status, String detail, String hint) {
    String path = exchange.getRequestURI().getPath();
    String shown = path.substring(0, Math.min(path.length(), 200));
    String sentence = exchange.getRequestMethod() + " " + shown + " is not served (" + detail + "): " + hint;
    return Reply.json(status, Map.of("error", sentence));
  }
}
