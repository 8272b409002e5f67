package penstock.function;

import com.fasterxml.jackson.databind.JsonNode;
import java.security.PublicKey;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** What every protocol shares: the model that answers (or why none does yet), and a body turned into an answer. */
final class Service {
  static final String EXPECTED = "one record (a JSON object), an array of records, or {\"records\": [...]}";

  // Short ones, with their answers, take far more memory as objects than as JSON.
  private static final int MAX_RECORDS = 100_000;

  private final List<PublicKey> keys;
  private final Metrics metrics = new Metrics();
  private volatile Scorer scorer;
  private volatile String reason = "no package yet: waiting for POST /init";

  /** Of packages that one of `keys` signed, where there are any. */
  Service(List<PublicKey> keys) {
    this.keys = keys;
  }

  /** Those one of which must have signed a package; none where any may be served. */
  List<PublicKey> keys() {
    return keys;
  }

  Metrics metrics() {
    return metrics;
  }

  /** The package that answers, once one has proved itself. */
  Optional<FunctionPackage> served() {
    return Optional.ofNullable(scorer).map(Scorer::served);
  }

  /** Why there is none. */
  String reason() {
    return reason;
  }

  /** Prove a package, then answer with it. */
  void serve(FunctionPackage given) throws PackageException {
    try {
      Scorer made = new Scorer(given);
      made.prove();
      metrics.serves(given);
      scorer = made;
    } catch (PackageException error) {
      reason = error.getMessage();
      throw error;
    }
  }

  /** The same; a 503 while there is none. */
  FunctionPackage ready() {
    return served().orElseThrow(() -> new Refusal(503, "not_ready", "the function is not ready: " + reason));
  }

  /** The answer to a parsed body, one record or many; refusals as `score` has them. */
  Map<String, Object> predict(JsonNode value) {
    FunctionPackage served = ready();
    Map<String, Object> answer = new LinkedHashMap<>();
    answer.put("name", served.name());
    answer.put("version", served.version());
    // A model may have a column of that name; then an object is always one record.
    boolean wraps = served.inputs().stream().noneMatch(field -> field.name().equals("records"));
    if (value.isObject() && !(wraps && value.has("records"))) {
      answer.putAll(score(List.of(value)).get(0).members(served.classes()));
    } else {
      answer.put("predictions", score(records(value)).stream().map(one -> one.members(served.classes())).toList());
    }
    return answer;
  }

  /** The answer to each of one or more records; a 422 where they do not fit, a 413 for too many, a 503 while there is no model. */
  List<Answer> score(List<JsonNode> records) {
    ready();
    checkCount(records.size());
    List<Answer> answers = scorer.score(records);
    metrics.scored(answers);
    return answers;
  }

  /** Refuse more than MAX_RECORDS. */
  static void checkCount(int records) {
    if (records > MAX_RECORDS) {
      throw new Refusal(
          413, "size", "there are " + records + " records, at most " + MAX_RECORDS + " are scored in one request");
    }
  }

  private static List<JsonNode> records(JsonNode value) {
    JsonNode records = value;
    if (value.isObject()) {
      value.fieldNames().forEachRemaining(
          name -> {
            if (!name.equals("records")) {
              throw misshapen("the field " + Described.text(name) + " beside `records`", "`records` alone");
            }
          });
      records = value.get("records");
    }
    if (!records.isArray()) {
      throw misshapen(Described.value(records), EXPECTED);
    }
    if (records.isEmpty()) {
      throw misshapen("an empty array", "at least one record");
    }
    List<JsonNode> found = new ArrayList<>(records.size());
    records.forEach(found::add);
    return found;
  }

  private static Refusal misshapen(String found, String expected) {
    return new Refusal(
        422,
        "input",
        "the body is not what the model reads: found " + found + ", expected " + expected,
        List.of(new Fault(0, "", found, expected)));
  }
}
