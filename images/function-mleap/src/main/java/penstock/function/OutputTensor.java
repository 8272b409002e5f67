package penstock.function;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * One tensor of an answer of the Open Inference Protocol.
 *
 * @param shape [N] or [N, K]
 * @param values in row-major order; null where there is no answer
 */
record OutputTensor(String name, Datatype datatype, List<Integer> shape, List<Object> values) {

  /** The answers to N records: `prediction` [N] and, where it is shown, `probability` [N, K] in the order of the classes. */
  static List<OutputTensor> of(FunctionPackage served, List<Answer> answers) {
    List<JsonNode> classes = served.classes();
    boolean areNumbers = classes.stream().allMatch(JsonNode::isIntegralNumber);
    Datatype kind = classes.isEmpty() ? Datatype.FP64 : areNumbers ? Datatype.INT64 : Datatype.BYTES;
    List<Object> predictions = new ArrayList<>();
    List<Object> probabilities = new ArrayList<>();
    for (Answer answer : answers) {
      predictions.add(answer.prediction());
      if (served.showsProbability()) {
        for (double value : answer.probability()) {
          probabilities.add(Answer.finite(value));
        }
      }
    }
    int rows = answers.size();
    OutputTensor prediction = new OutputTensor("prediction", kind, List.of(rows), predictions);
    if (!served.showsProbability()) {
      return List.of(prediction);
    }
    List<Integer> shape = List.of(rows, classes.size());
    return List.of(prediction, new OutputTensor("probability", Datatype.FP64, shape, probabilities));
  }

  /** Its entry in a response, without the values. */
  Map<String, Object> described() {
    Map<String, Object> described = new LinkedHashMap<>();
    described.put("name", name);
    described.put("datatype", datatype);
    described.put("shape", shape);
    return described;
  }

  /** The values as the binary extension has them, little-endian; a 422 where one is null, and its type has no NaN to say so. */
  byte[] bytes() {
    List<byte[]> texts = new ArrayList<>();
    for (int place = 0; place < values.size(); place++) {
      Object value = values.get(place);
      if (value == null && datatype != Datatype.FP64) {
        throw new Refusal(422, "input", "row " + place + " has no " + name + ": ask for it as JSON");
      }
      if (datatype == Datatype.BYTES) {
        texts.add(((JsonNode) value).asText().getBytes(StandardCharsets.UTF_8));
      }
    }
    int size = texts.stream().mapToInt(text -> Integer.BYTES + text.length).sum() + values.size() * datatype.size;
    ByteBuffer bytes = ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
    switch (datatype) {
      case BYTES -> texts.forEach(text -> bytes.putInt(text.length).put(text));
      case INT64 -> values.forEach(value -> bytes.putLong(((JsonNode) value).longValue()));
      default -> values.forEach(value -> bytes.putDouble(value == null ? Double.NaN : (double) value));
    }
    return bytes.array();
  }
}
