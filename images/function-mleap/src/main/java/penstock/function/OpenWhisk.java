package penstock.function;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * OpenWhisk's action interface: POST /init once, then POST /run for each activation, whose `value` is one record or
 * {"records": [...]}.
 *
 * <p>OpenWhisk takes any status but 200 as a broken container and destroys it, and of a result with a top-level `error`
 * it keeps that one value. So wrong input is a 200 whose `error` holds everything.
 *
 * <p>The protocol: https://github.com/apache/openwhisk/blob/master/docs/actions-new.md#action-interface
 */
final class OpenWhisk {
  private static final int MAX_INIT = 64 << 20; // OpenWhisk allows 48 MB of code, and as base64 in JSON it is what it sends
  private static final String SENTINEL = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX";
  // What is wrong with the input or its moment, not with the container.
  private static final Set<Integer> APPLICATION_ERRORS = Set.of(413, 422, 503, 504);

  private final Service service;
  private boolean begun;
  private volatile boolean done;

  OpenWhisk(Service service) {
    this.service = service;
  }

  List<Route> routes() {
    return List.of(
        new Route(
            "/init", Pattern.compile("/init"), "POST", MAX_INIT, this::init, this::initFailed, false, () -> {}),
        Route.call("/run", "/run", this::run, OpenWhisk::refusing).then(OpenWhisk::endOfActivation));
  }

  /** Take the package as a zip in base64, or confirm the one that the process started with. */
  private Reply init(Request request) {
    begin();
    try {
      FunctionPackage served = initialised(member(Json.parse(request.body())));
      done = true;
      return Reply.json(200, Map.of("name", served.name(), "version", served.version()));
    } finally {
      end();
    }
  }

  private Reply initFailed(Refusal refusal) {
    service.metrics().failed(refusal.kind());
    Log.trouble("init_failed", Map.of("reason", refusal.getMessage()));
    endOfActivation(); // a container whose init failed runs nothing more: its log ends here
    return Reply.json(refusal.status(), Map.of("error", refusal.getMessage()));
  }

  /** The result of one activation. */
  private Reply run(Request request) {
    if (!done) {
      throw new Refusal(403, "not_ready", "the function is not initialised: POST /init comes first");
    }
    JsonNode activation = Json.parse(request.body());
    ObjectNode value = member(activation);
    inTime(activation);
    // A web action adds what it knows of the HTTP request under these names.
    List<String> added = new ArrayList<>();
    value.fieldNames().forEachRemaining(name -> {
      if (name.startsWith("__ow_")) {
        added.add(name);
      }
    });
    value.remove(added);
    try {
      return Reply.json(200, service.predict(value));
    } catch (Refusal refusal) {
      Map<String, Object> said = new LinkedHashMap<>();
      said.put("activation_id", activation.get("activation_id"));
      said.put("kind", refusal.kind());
      // Not what was found there: it is the caller's, and logs are read by others.
      said.put(
          "faults",
          refusal.faults().stream()
              .map(fault -> Map.of("row", fault.row(), "field", fault.field(), "expected", fault.expected()))
              .toList());
      Log.trouble("refused", said);
      throw refusal;
    }
  }

  /** What /run answers to a refusal. */
  private static Reply refusing(Refusal refusal) {
    int status = APPLICATION_ERRORS.contains(refusal.status()) ? 200 : refusal.status();
    return Reply.json(status, Map.of("error", Map.of("message", refusal.getMessage(), "faults", refusal.faults())));
  }

  /** Tell OpenWhisk that the log of this activation is complete, on both streams. */
  private static void endOfActivation() {
    for (PrintStream stream : List.of(System.out, System.err)) {
      stream.print(SENTINEL + "\n");
      stream.flush();
    }
  }

  private synchronized void begin() {
    if (begun) {
      throw new Refusal(403, "init", "this function is initialised already, which is done once");
    }
    begun = true;
  }

  private synchronized void end() {
    begun = done;
  }

  private FunctionPackage initialised(JsonNode value) {
    JsonNode code = value.path("code");
    FunctionPackage served = service.served().orElse(null);
    if (code.isNull() || code.asText().isEmpty()) {
      if (served == null) {
        throw new Refusal(400, "init", "value.code is empty and the process was started without a package");
      }
      return served;
    }
    if (served != null) {
      throw new Refusal(
          403,
          "init",
          "this process serves " + served.name() + " " + served.version() + " from its image: send no value.code");
    }
    if (!code.isTextual() || !value.path("binary").asBoolean()) {
      throw new Refusal(400, "init", "value.code must be a zip of a package in base64, with value.binary true");
    }
    try {
      byte[] zip = Base64.getDecoder().decode(code.textValue());
      FunctionPackage given = FunctionPackage.read(Archive.reader(zip), service.keys());
      service.serve(given);
      Log.event("initialised", Map.of("name", given.name(), "version", given.version()));
      return given;
    } catch (IllegalArgumentException error) {
      throw new Refusal(400, "init", "value.code is not base64: " + error.getMessage());
    } catch (PackageException error) {
      throw new Refusal(422, "init", error.getMessage());
    }
  }

  private static ObjectNode member(JsonNode request) {
    if (request.path("value") instanceof ObjectNode value) {
      return value;
    }
    String found = !request.isObject()
        ? "a body that is " + Described.value(request)
        : request.has("value") ? Described.value(request.get("value")) : "null";
    throw new Refusal(400, "protocol", "`value` must be a JSON object, found " + found);
  }

  /** Nobody waits for an answer after the deadline (milliseconds since the epoch, as text): work for it is lost. */
  private static void inTime(JsonNode activation) {
    String deadline = activation.path("deadline").asText();
    if (deadline.matches("[0-9]{1,18}") && System.currentTimeMillis() > Long.parseLong(deadline)) {
      throw new Refusal(504, "deadline", "the activation's deadline passed before its turn came");
    }
  }
}
