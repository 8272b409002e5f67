package penstock.function;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.NullNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import ml.combust.mleap.core.types.BasicType;
import ml.combust.mleap.core.types.Socket;
import ml.combust.mleap.core.types.StructField;
import ml.combust.mleap.core.types.StructType;
import ml.combust.mleap.runtime.frame.ArrayRow;
import ml.combust.mleap.runtime.frame.RowTransformer;
import ml.combust.mleap.runtime.frame.Transformer;
import ml.combust.mleap.runtime.javadsl.BundleBuilder;
import ml.combust.mleap.runtime.javadsl.ContextBuilder;
import ml.combust.mleap.runtime.transformer.Pipeline;
import ml.combust.mleap.tensor.Tensor;
import scala.Option;
import scala.collection.JavaConverters;

/** Scores records with the package's bundle, and proves that it gives Spark's own answers; safe for several threads. */
final class Scorer {

  /** A node of the bundle: the inputs that must not be null there, what a row that it refuses is refused for, and the row after it. */
  private record Step(List<Integer> required, String origin, RowTransformer rows) {}

  /** What a record gets: an answer, or the field that it is refused for. */
  private record Outcome(Answer answer, String refused) {}

  private final FunctionPackage served;
  private final Encoder encoder;
  private final List<Step> steps;
  private final int[] required;
  private final RowTransformer rows;
  private final int prediction;
  private final int probability;

  /** Load the bundle of a package. */
  Scorer(FunctionPackage served) throws PackageException {
    this.served = served;
    try {
      Pipeline pipeline = load(served.model());
      List<Transformer> nodes = JavaConverters.seqAsJavaList(pipeline.transformers());
      Map<String, StructField> inputs = inputs(nodes);
      this.encoder = new Encoder(served.inputs(), List.copyOf(inputs.keySet()));
      StructType schema = StructType.apply(schema(inputs, encoder)).get();
      this.steps = steps(nodes, List.copyOf(inputs.keySet()), encoder, RowTransformer.apply(schema));
      this.rows = steps.get(steps.size() - 1).rows();
      this.required = steps.stream().flatMap(step -> step.required().stream()).mapToInt(place -> place).distinct().toArray();
      this.prediction = place("prediction", pipeline, rows);
      this.probability = served.showsProbability() ? place("probability", pipeline, rows) : -1;
    } catch (PackageException error) {
      throw error;
    } catch (Exception | LinkageError error) {
      // MLeap raises whatever comes to hand, and Scala declares nothing of it.
      throw new PackageException(FunctionPackage.MODEL + " cannot be loaded: " + error, error);
    }
  }

  FunctionPackage served() {
    return served;
  }

  /** The answer to each of one or more records; a 422 where they do not fit the model, or it refuses a value. */
  List<Answer> score(List<JsonNode> records) {
    List<Fault> faults = encoder.faults(records);
    if (!faults.isEmpty()) {
      throw Refusal.of(faults);
    }
    List<Answer> answers = new ArrayList<>(records.size());
    for (int row = 0; row < records.size() && faults.size() < Refusal.MAX_FAULTS; row++) {
      JsonNode record = records.get(row);
      Outcome outcome = outcome(record);
      if (outcome.refused() == null) {
        answers.add(outcome.answer());
      } else {
        faults.add(fault(row, outcome.refused(), record));
      }
    }
    if (!faults.isEmpty()) {
      throw Refusal.of(faults);
    }
    return answers;
  }

  /** Score the package's samples and compare with Spark's answers. */
  void prove() throws PackageException {
    List<Fault> faults = encoder.faults(served.records());
    if (!faults.isEmpty()) {
      throw new PackageException(
          FunctionPackage.SAMPLES + " holds records that the model's inputs refuse: "
              + Refusal.of(faults).getMessage());
    }
    for (int number = 0; number < served.records().size(); number++) {
      Map<String, Object> ours;
      try {
        ours = flat(outcome(served.records().get(number)));
      } catch (RuntimeException error) {
        throw new PackageException(FunctionPackage.MODEL + " cannot score its samples: " + error, error);
      }
      Map<String, JsonNode> sparks = flat(served.answers().get(number));
      Set<String> outputs = new TreeSet<>(ours.keySet());
      outputs.addAll(sparks.keySet());
      for (String output : outputs) {
        if (!same(ours, sparks, output)) {
          throw new PackageException(
              String.format(
                  "sample %d does not prove the model: %s is %s, Spark gave %s (tolerance %s, relative to max(1, |x|))",
                  number, output, ours.getOrDefault(output, "not given"),
                  sparks.containsKey(output) ? sparks.get(output) : "none", served.tolerance()));
        }
      }
    }
  }

  private static Pipeline load(byte[] model) throws PackageException, IOException {
    Archive.unpacked(model, FunctionPackage.MODEL);
    Path file = Files.createTempFile("model", ".zip");
    try {
      Files.write(file, model);
      return (Pipeline) new BundleBuilder().load(file.toFile(), new ContextBuilder().createMleapContext()).root();
    } finally {
      Files.delete(file);
    }
  }

  /** The columns that nodes read and none before them makes, in order. */
  private static Map<String, StructField> inputs(List<Transformer> nodes) {
    Map<String, StructField> inputs = new LinkedHashMap<>();
    Set<String> made = new TreeSet<>();
    for (Transformer node : nodes) {
      for (StructField field : fields(node.inputSchema())) {
        if (!made.contains(field.name())) {
          inputs.putIfAbsent(field.name(), field);
        }
      }
      fields(node.outputSchema()).forEach(field -> made.add(field.name()));
    }
    return inputs;
  }

  private static List<StructField> schema(Map<String, StructField> inputs, Encoder encoder) throws PackageException {
    List<StructField> schema = new ArrayList<>();
    for (StructField field : inputs.values()) {
      boolean readsText = field.dataType().base().equals(BasicType.String$.MODULE$);
      if (readsText != encoder.isText(schema.size())) {
        throw new PackageException(
            FunctionPackage.MODEL + " does not read the package's inputs: it reads " + Described.text(field.name())
                + " as " + field.dataType().simpleString());
      }
      schema.add(new StructField(field.name(), field.dataType().asNullable()));
    }
    return schema;
  }

  private static List<Step> steps(
      List<Transformer> nodes, List<String> inputs, Encoder encoder, RowTransformer start) {
    Map<String, Set<String>> origins = new HashMap<>();
    for (int place = 0; place < inputs.size(); place++) {
      origins.put(inputs.get(place), Set.of(encoder.field(place)));
    }
    List<Step> steps = new ArrayList<>();
    RowTransformer rows = start;
    for (Transformer node : nodes) {
      rows = node.transform(rows).get();
      List<Integer> required = new ArrayList<>();
      Set<String> found = new TreeSet<>();
      for (StructField field : fields(node.inputSchema())) {
        found.addAll(origins.get(field.name()));
        int place = inputs.indexOf(field.name());
        if (place >= 0 && !field.dataType().isNullable()) {
          required.add(place);
        }
      }
      fields(node.outputSchema()).forEach(field -> origins.put(field.name(), found));
      // A derived column is reported as the function's input that it was made from, when that is one.
      String read = fields(node.inputSchema()).get(0).name();
      String own = read.substring(read.lastIndexOf('\u00b7') + 1);
      steps.add(new Step(required, found.size() == 1 ? found.iterator().next() : own, rows));
    }
    return steps;
  }

  /** Where an output of the pipeline stands in a row. */
  private static int place(String port, Pipeline pipeline, RowTransformer rows) throws PackageException {
    Option<Socket> socket = pipeline.shape().getOutput(port);
    List<String> columns = fields(rows.outputSchema()).stream().map(StructField::name).toList();
    int place = socket.isDefined() ? columns.indexOf(socket.get().name()) : -1;
    if (place < 0) {
      throw new PackageException(FunctionPackage.MODEL + " does not give what a package must: it has no " + port);
    }
    return place;
  }

  private static List<StructField> fields(StructType schema) {
    return JavaConverters.seqAsJavaList(schema.fields());
  }

  private static ArrayRow transformed(RowTransformer rows, Object[] values) {
    Option<ArrayRow> row = rows.transformOption(new ArrayRow(Arrays.asList(values)));
    return row.isDefined() ? row.get() : null;
  }

  private static boolean isNull(Object value) {
    return value == null || (value instanceof Double number && number.isNaN());
  }

  private Outcome outcome(JsonNode record) {
    Object[] row = encoder.row(record);
    RuntimeException raised = null;
    if (Arrays.stream(required).noneMatch(place -> isNull(row[place]))) {
      try {
        ArrayRow scored = transformed(rows, row);
        if (scored != null) {
          return new Outcome(answer(scored), null);
        }
      } catch (RuntimeException error) {
        raised = error;
      }
    }
    for (Step step : steps) {
      for (int place : step.required()) {
        if (isNull(row[place])) {
          return new Outcome(null, encoder.field(place));
        }
      }
      if (!passes(step, row)) {
        return new Outcome(null, step.origin());
      }
    }
    // No node refuses the row, and yet it has no answer: the model failed.
    throw raised == null ? new IllegalStateException("the bundle gave no answer") : raised;
  }

  private static boolean passes(Step step, Object[] row) {
    try {
      return transformed(step.rows(), row) != null;
    } catch (RuntimeException error) {
      // How MLeap says that a value is none that it was trained on: by whatever exception comes to hand.
      return false;
    }
  }

  private static Fault fault(int row, String field, JsonNode record) {
    // A stage may read a column that another stage made, and then the record does not hold it.
    String found = record.has(field) ? Described.value(record.get(field)) : "a value computed from this record";
    return new Fault(row, field, found + ": null or unseen category", "a value that the model was trained on");
  }

  private Answer answer(ArrayRow row) {
    double value = (double) row.getRaw(prediction);
    Object answer = Answer.finite(value);
    if (answer != null && !served.classes().isEmpty()) {
      answer = served.classes().get((int) value);
    }
    return new Answer(answer, probability < 0 ? null : (double[]) ((Tensor<?>) row.getRaw(probability)).toArray());
  }

  private Map<String, Object> flat(Outcome outcome) {
    if (outcome.refused() != null) {
      return Map.of("invalid", TextNode.valueOf(outcome.refused()));
    }
    Map<String, Object> flat = new HashMap<>(outcome.answer().members(served.classes()));
    if (flat.remove("probability") instanceof Map<?, ?> shown) {
      shown.forEach((label, value) -> flat.put("probability of " + label, value));
    }
    return flat;
  }

  private static Map<String, JsonNode> flat(JsonNode answer) {
    Map<String, JsonNode> flat = new TreeMap<>();
    for (Map.Entry<String, JsonNode> member : answer.properties()) {
      if (member.getKey().equals("probability")) {
        member.getValue().properties().forEach(
            shown -> flat.put("probability of " + shown.getKey(), shown.getValue()));
      } else {
        flat.put(member.getKey(), member.getValue());
      }
    }
    return flat;
  }

  private boolean same(Map<String, Object> ours, Map<String, JsonNode> sparks, String output) {
    if (!ours.containsKey(output) || !sparks.containsKey(output)) {
      return false;
    }
    Object own = ours.get(output);
    JsonNode spark = sparks.get(output);
    if (own instanceof Double number) {
      double apart = Math.abs(number - spark.doubleValue());
      return spark.isNumber() && apart <= served.tolerance() * Math.max(1, Math.abs(spark.doubleValue()));
    }
    return spark.equals(own == null ? NullNode.getInstance() : own);
  }
}
