package penstock.function;

import static penstock.function.InputTensor.malformed;
import static penstock.function.InputTensor.member;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.stream.Collectors;

/**
 * The Open Inference Protocol, version 2, over HTTP: what clients of KServe, Triton and MLServer speak. One tensor a column
 * that the function takes; a refusal has `faults` beside `error`, as at /predict.
 *
 * <p>The protocol: https://github.com/kserve/open-inference-protocol, with its binary tensor data extension.
 */
final class OpenInference {
  /** Says how many bytes of a body are JSON; the tensors' own bytes follow. */
  private static final String JSON_LENGTH = "inference-header-content-length";

  /** What the server is called. */
  private static final String SERVER = "penstock_function";

  private static final String MODEL = "/v2/models/(?<model>[^/]+)(?:/versions/(?<version>[^/]+))?";
  private static final int LONGEST_FOUND = 40;
  private static final int MOST_DIGITS = 20;

  private final Service service;

  OpenInference(Service service) {
    this.service = service;
  }

  List<Route> routes() {
    return List.of(
        Route.call("/v2/infer", MODEL + "/infer", this::infer, OpenInference::refusing),
        Route.page("/v2", request -> server()),
        Route.page("/v2/health/live", request -> Reply.json(200, Map.of("live", true))),
        Route.page("/v2/health/ready", request -> ready()),
        Route.page(MODEL, request -> Reply.json(200, metadata(served(request)))),
        Route.page(MODEL + "/ready", request -> modelReady(served(request))));
  }

  private Reply server() {
    Map<String, Object> told = new LinkedHashMap<>();
    told.put("name", SERVER);
    told.put("version", service.served().map(FunctionPackage::version).orElse(""));
    told.put("extensions", List.of("binary_tensor_data"));
    return Reply.json(200, told);
  }

  private Reply ready() {
    boolean isReady = service.served().isPresent();
    return Reply.json(isReady ? 200 : 503, Map.of("ready", isReady));
  }

  private static Reply modelReady(FunctionPackage served) {
    return Reply.json(200, Map.of("name", served.name(), "ready", true));
  }

  private static Map<String, Object> metadata(FunctionPackage served) {
    List<Map<String, Object>> inputs = new ArrayList<>();
    for (Field field : served.inputs()) {
      inputs.add(new OutputTensor(field.name(), Datatype.of(field.type()), List.of(-1), List.of()).described());
    }
    List<Map<String, Object>> outputs = new ArrayList<>();
    for (OutputTensor output : OutputTensor.of(served, List.of())) {
      List<Integer> shape = new ArrayList<>(output.shape());
      shape.set(0, -1);
      Map<String, Object> described = output.described();
      described.put("shape", shape);
      outputs.add(described);
    }
    Map<String, Object> told = new LinkedHashMap<>();
    told.put("name", served.name());
    told.put("versions", List.of(served.version()));
    told.put("platform", "mleap");
    told.put("inputs", inputs);
    told.put("outputs", outputs);
    return told;
  }

  /** The package that answers, of any version where none is asked for; a 503 where there is none yet, a 404 for another. */
  private FunctionPackage served(Request request) {
    FunctionPackage served = service.ready();
    String model = request.path().group("model");
    String version = request.path().group("version");
    if (!model.equals(served.name())) {
      String sentence = "there is no model " + Described.name(model) + ": this is " + Described.text(served.name());
      throw new Refusal(404, "protocol", sentence);
    }
    if (version != null && !version.equals(served.version())) {
      throw new Refusal(
          404,
          "protocol",
          "there is no version " + Described.name(version) + " of " + Described.text(model) + ": this is "
              + Described.text(served.version()));
    }
    return served;
  }

  /** The protocol knows 400 for whatever is wrong with a request's content. */
  private static Reply refusing(Refusal refusal) {
    return Reply.json(refusal.status() == 422 ? 400 : refusal.status(), refusal.body());
  }

  private Reply infer(Request request) {
    FunctionPackage served = served(request);
    int split = split(request);
    byte[] body = request.body();
    JsonNode asked = Json.parse(split == body.length ? body : Arrays.copyOf(body, split));
    if (!asked.isObject()) {
      throw malformed("the body is " + Described.value(asked) + ", expected an object with `inputs`");
    }
    ByteBuffer rest = ByteBuffer.wrap(body, split, body.length - split).order(ByteOrder.LITTLE_ENDIAN);
    List<JsonNode> records = records(member(asked, "inputs"), rest);
    inTime(asked, request.came());
    return answer(served, asked, OutputTensor.of(served, service.score(records)));
  }

  /** Where the JSON of a body ends. */
  private static int split(Request request) {
    String length = request.header(JSON_LENGTH);
    int size = request.body().length;
    if (length == null) {
      return size;
    }
    if (!length.matches("[0-9]{1," + MOST_DIGITS + "}")) {
      String shown = length.substring(0, Math.min(length.length(), LONGEST_FOUND));
      throw malformed(JSON_LENGTH + " is " + Described.text(shown) + ", expected a number of bytes");
    }
    if (Double.parseDouble(length) > size) {
      throw malformed("the body has " + size + " bytes, of which " + length + " should be JSON");
    }
    return Integer.parseInt(length);
  }

  /** One record a row of the input tensors. */
  private static List<JsonNode> records(JsonNode inputs, ByteBuffer rest) {
    if (!inputs.isArray() || inputs.isEmpty()) {
      throw malformed("`inputs` is " + Described.value(inputs) + ", expected an array of tensors");
    }
    Map<String, List<JsonNode>> columns = new LinkedHashMap<>();
    for (int place = 0; place < inputs.size(); place++) {
      InputTensor tensor = InputTensor.read(inputs.get(place), place, rest);
      if (columns.put(tensor.name(), tensor.values()) != null) {
        throw malformed("the input " + Described.name(tensor.name()) + " is there twice");
      }
    }
    if (rest.hasRemaining()) {
      throw malformed(rest.remaining() + " bytes are left that no input claims");
    }
    TreeSet<Integer> rows = columns.values().stream().map(List::size).collect(Collectors.toCollection(TreeSet::new));
    if (rows.size() != 1 || rows.first() == 0) {
      throw malformed("the inputs have " + rows + " rows, expected one number of them, at least 1");
    }
    Service.checkCount(rows.first());
    List<JsonNode> records = new ArrayList<>(rows.first());
    for (int row = 0; row < rows.first(); row++) {
      ObjectNode record = JsonNodeFactory.instance.objectNode();
      for (Map.Entry<String, List<JsonNode>> column : columns.entrySet()) {
        record.set(column.getKey(), column.getValue().get(row));
      }
      records.add(record);
    }
    return records;
  }

  /** A request may say by its parameter `timeout` for how many microseconds its caller waits, as Triton's clients do. */
  private static void inTime(JsonNode asked, long came) {
    JsonNode timeout = asked.path("parameters").path("timeout");
    if (timeout.isMissingNode()) {
      return;
    }
    if (!timeout.isIntegralNumber() || timeout.doubleValue() < 0) {
      throw malformed("the parameter timeout is " + Described.value(timeout) + ", expected microseconds");
    }
    double microseconds = timeout.doubleValue();
    if (microseconds > 0 && (System.nanoTime() - came) / 1e3 > microseconds) {
      throw new Refusal(504, "deadline", "the request's timeout passed before its turn came");
    }
  }

  /** The outputs that a request asks for, all of them where it names none; as JSON, or those that it wants so as bytes. */
  private static Reply answer(FunctionPackage served, JsonNode asked, List<OutputTensor> made) {
    boolean every = asked.path("parameters").path("binary_data_output").asBoolean();
    List<Map<String, Object>> outputs = new ArrayList<>();
    ByteArrayOutputStream tail = new ByteArrayOutputStream();
    JsonNode wanted = member(asked, "outputs");
    if (wanted.isNull()) {
      made.forEach(tensor -> outputs.add(output(tensor, every, tail)));
    } else if (!wanted.isArray()) {
      throw malformed("`outputs` is " + Described.value(wanted) + ", expected an array");
    }
    for (JsonNode each : wanted) {
      boolean isBinary = each.path("parameters").path("binary_data").asBoolean(every);
      outputs.add(output(named(member(each, "name"), made), isBinary, tail));
    }
    Map<String, Object> answer = new LinkedHashMap<>();
    answer.put("model_name", served.name());
    answer.put("model_version", served.version());
    if (asked.path("id").isTextual()) {
      answer.put("id", asked.get("id"));
    }
    answer.put("outputs", outputs);
    byte[] head = Json.write(answer);
    if (tail.size() == 0) {
      return Reply.of(200, "application/json", head);
    }
    ByteArrayOutputStream whole = new ByteArrayOutputStream(head.length + tail.size());
    whole.writeBytes(head);
    whole.writeBytes(tail.toByteArray());
    Map<String, String> headers =
        Map.of("content-type", "application/octet-stream", JSON_LENGTH, Integer.toString(head.length));
    return new Reply(200, whole.toByteArray(), headers);
  }

  private static Map<String, Object> output(OutputTensor tensor, boolean isBinary, ByteArrayOutputStream tail) {
    Map<String, Object> output = tensor.described();
    if (isBinary) {
      byte[] bytes = tensor.bytes();
      tail.writeBytes(bytes);
      output.put("parameters", Map.of("binary_data_size", bytes.length));
    } else {
      output.put("data", tensor.values());
    }
    return output;
  }

  private static OutputTensor named(JsonNode name, List<OutputTensor> made) {
    return made.stream()
        .filter(tensor -> tensor.name().equals(name.textValue()))
        .findAny()
        .orElseThrow(() -> {
          String known = made.stream().map(OutputTensor::name).collect(Collectors.joining(", "));
          return malformed("there is no output " + Described.value(name) + "; there are " + known);
        });
  }
}
