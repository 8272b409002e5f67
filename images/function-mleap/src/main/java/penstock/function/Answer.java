package penstock.function;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The answer to one record.
 *
 * @param prediction a class, or a number; what JSON cannot say (NaN and infinities) is null
 * @param probability one a class, in their order; null where the function does not show it
 */
record Answer(Object prediction, double[] probability) {

  /** Its members as JSON has them. */
  Map<String, Object> members(List<JsonNode> classes) {
    Map<String, Object> members = new LinkedHashMap<>();
    members.put("prediction", prediction);
    if (probability != null) {
      Map<String, Object> shown = new LinkedHashMap<>();
      for (int place = 0; place < probability.length; place++) {
        shown.put(classes.get(place).asText(), finite(probability[place]));
      }
      members.put("probability", shown);
    }
    return members;
  }

  static Double finite(double value) {
    return Double.isFinite(value) ? value : null;
  }
}
