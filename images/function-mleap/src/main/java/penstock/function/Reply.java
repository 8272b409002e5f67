package penstock.function;

import java.util.Map;

/** What is sent: a status, a body, and headers, its type among them. */
record Reply(int status, byte[] body, Map<String, String> headers) {

  static Reply json(int status, Object value) {
    return of(status, "application/json", Json.write(value));
  }

  static Reply of(int status, String type, byte[] body) {
    return new Reply(status, body, Map.of("content-type", type));
  }

  /** A refusal in the form that /predict has. */
  static Reply refusing(Refusal refusal) {
    return json(refusal.status(), refusal.body());
  }
}
