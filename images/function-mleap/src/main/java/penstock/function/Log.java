package penstock.function;

import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/** Structured logs: one JSON object a line, events on stdout, trouble on stderr. */
final class Log {
  private Log() {}

  /** Say on stdout that something happened; a field that is null is null there. */
  static void event(String name, Map<String, ?> fields) {
    line(System.out, name, fields);
  }

  /** Say on stderr that something went wrong. */
  static void trouble(String name, Map<String, ?> fields) {
    line(System.err, name, fields);
  }

  /** Say on stderr that this program or the model failed, with the traceback. */
  static void failure(String name, Throwable error, Map<String, ?> fields) {
    StringWriter traceback = new StringWriter();
    error.printStackTrace(new PrintWriter(traceback));
    Map<String, Object> all = new LinkedHashMap<>(fields);
    all.put("error", String.valueOf(error.getMessage()));
    all.put("traceback", traceback.toString());
    trouble(name, all);
  }

  private static void line(PrintStream stream, String name, Map<String, ?> fields) {
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("event", name);
    line.put("time", System.currentTimeMillis() / 1000.0);
    line.putAll(fields);
    byte[] data = Json.write(line);
    // One write a line, so that lines from different threads do not mix.
    byte[] ended = Arrays.copyOf(data, data.length + 1);
    ended[data.length] = '\n';
    stream.write(ended, 0, ended.length);
    stream.flush();
  }
}
