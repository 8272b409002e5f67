package bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.charset.StandardCharsets;

/** What every server does with a request: its body is read as JSON, the answer is always the same. */
final class Answer {
  static final String TYPE = "application/json";

  private static final ObjectMapper MAPPER = new ObjectMapper();
  private static final byte[] ANSWER =
      "{\"name\": \"bench\", \"version\": \"1\", \"prediction\": 1, \"probability\": {\"0\": 0.25, \"1\": 0.75}}"
          .getBytes(StandardCharsets.UTF_8);

  private Answer() {}

  /** The answer; an empty body is that of whoever asks whether the server is ready. */
  static byte[] to(byte[] body) throws IOException {
    if (body.length > 0 && !MAPPER.readTree(body).isContainerNode()) {
      throw new IOException("neither a record nor records");
    }
    return ANSWER;
  }
}
