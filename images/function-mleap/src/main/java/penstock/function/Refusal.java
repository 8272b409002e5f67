package penstock.function;

import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** A request that gets no answer: the HTTP status, a kind for the metrics, a sentence, the faults. */
final class Refusal extends RuntimeException {
  private static final long serialVersionUID = 1;

  /** Enough to see the pattern; the scan stops there, so a bad body costs little. */
  static final int MAX_FAULTS = 20;

  private final int status;
  private final String kind;
  private final transient List<Fault> faults;

  Refusal(int status, String kind, String sentence, List<Fault> faults) {
    // A refusal is an answer, not a failure: nobody reads where it was made.
    super(sentence, null, false, false);
    this.status = status;
    this.kind = kind;
    this.faults = faults;
  }

  Refusal(int status, String kind, String sentence) {
    this(status, kind, sentence, List.of());
  }

  /** Of records that do not fit the model, by the faults that were found, at least one. */
  static Refusal of(List<Fault> faults) {
    Fault first = faults.get(0);
    String field = first.field().isEmpty() ? "" : ", field " + Described.text(first.field());
    String sentence =
        "row " + first.row() + field + ": found " + first.found() + ", expected " + first.expected();
    int others = faults.size() - 1;
    if (others == 1) {
      sentence += " (and 1 other fault)";
    } else if (others > 1) {
      String many = faults.size() >= MAX_FAULTS ? "or more " : "";
      sentence += " (and " + others + " " + many + "other faults)";
    }
    return new Refusal(422, "input", sentence, faults);
  }

  int status() {
    return status;
  }

  String kind() {
    return kind;
  }

  List<Fault> faults() {
    return faults;
  }

  /** The JSON that the client of /predict gets; `faults` only where there are some. */
  Map<String, Object> body() {
    Map<String, Object> body = new TreeMap<>(Map.of("error", getMessage()));
    if (!faults.isEmpty()) {
      body.put("faults", faults);
    }
    return body;
  }
}
