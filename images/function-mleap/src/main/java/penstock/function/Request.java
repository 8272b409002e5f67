package penstock.function;

import com.sun.net.httpserver.Headers;
import java.util.regex.Matcher;

/**
 * What a route answers.
 *
 * @param path its parts by the names that the route gives them
 * @param query as it was sent; null where there is none
 * @param came when, by System.nanoTime()
 */
record Request(Matcher path, String query, Headers headers, byte[] body, long came) {

  /** A header's value; null where it is not there. */
  String header(String name) {
    return headers.getFirst(name);
  }
}
