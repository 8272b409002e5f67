package penstock.function;

/** What is sent: a status and a body of JSON. */
record Reply(int status, byte[] body) {

  static Reply json(int status, Object value) {
    return new Reply(status, Json.write(value));
  }

  /** A refusal in the form that /predict has. */
  static Reply refusing(Refusal refusal) {
    return json(refusal.status(), refusal.body());
  }
}
