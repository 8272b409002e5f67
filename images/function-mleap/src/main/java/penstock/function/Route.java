package penstock.function;

import java.util.function.Function;
import java.util.regex.Pattern;

/**
 * What is served at a path.
 *
 * @param name what metrics and logs call it
 * @param limit the largest body, in bytes
 * @param refusing what is sent of a refusal
 * @param isCounted whether the metrics tell of its requests
 * @param after what follows an answer or a refusal
 */
record Route(
    String name,
    Pattern path,
    String method,
    int limit,
    Function<Request, Reply> work,
    Function<Refusal, Reply> refusing,
    boolean isCounted,
    Runnable after) {

  /** The largest body of what is asked with records, which as parsed JSON takes up to 200 MB. */
  static final int MAX_BODY = 8 << 20;

  /** What is asked with records. */
  static Route call(String name, String path, Function<Request, Reply> work, Function<Refusal, Reply> refusing) {
    return new Route(name, Pattern.compile(path), "POST", MAX_BODY, work, refusing, true, () -> {});
  }

  /** What a person, a probe or a scraper reads. */
  static Route page(String path, Function<Request, Reply> work) {
    return new Route(path, Pattern.compile(path), "GET", MAX_BODY, work, Reply::refusing, false, () -> {});
  }

  /** The same, after which `task` is run whatever came of it. */
  Route then(Runnable task) {
    return new Route(name, path, method, limit, work, refusing, isCounted, task);
  }
}
