package penstock.function;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.PublicKey;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * A function package: the folder (or zip) that is deployed, read once and checked against its own digests.
 *
 * <p>`classes` are texts or whole numbers, none for a regression; `model` holds the very bytes whose digest was
 * checked, a Bundle.ML zip; `records` and `answers` are the samples with what Spark gave for them, in the same order.
 */
record FunctionPackage(
    String name,
    String version,
    String revision,
    String key,
    List<Field> inputs,
    List<JsonNode> classes,
    boolean showsProbability,
    double tolerance,
    byte[] model,
    List<JsonNode> records,
    List<JsonNode> answers) {

  static final String MANIFEST = "function.json";
  static final String MODEL = "model.zip";
  static final String SAMPLES = "samples.json";
  static final String SIGNATURE = "function.sig";
  static final Set<String> FILES = Set.of(MANIFEST, MODEL, SAMPLES, SIGNATURE);

  private static final int FORMAT = 1;
  private static final int LONGEST_FOUND = 80;
  // What goes into a URL and a response header must be harmless in both.
  private static final Pattern TOKEN = Pattern.compile("[A-Za-z0-9][A-Za-z0-9_.-]{0,127}");
  private static final Pattern DIGEST = Pattern.compile("[0-9a-f]{64}");

  /** The content of a file of a package, by its name. */
  @FunctionalInterface
  interface Source {
    byte[] read(String name) throws PackageException;
  }

  /** Read the package in a folder, which one of `keys` signed where there are any. */
  static FunctionPackage load(Path folder, List<PublicKey> keys) throws PackageException {
    return read(
        name -> {
          try {
            return Files.readAllBytes(folder.resolve(name));
          } catch (IOException error) {
            throw new PackageException(
                folder.resolve(name) + " cannot be read; a package is a folder with " + MANIFEST + ", " + MODEL
                    + " and " + SAMPLES,
                error);
          }
        },
        keys);
  }

  /** Build a package from its files, with keys as in `load`; every fault of the manifest is named. */
  static FunctionPackage read(Source files, List<PublicKey> keys) throws PackageException {
    byte[] described = files.read(MANIFEST);
    if (!keys.isEmpty()) {
      checkSignature(described, files, keys);
    }
    JsonNode manifest = Json.read(described, MANIFEST);
    List<String> faults = faults(manifest);
    if (!faults.isEmpty()) {
      throw new PackageException(MANIFEST + " is wrong: " + String.join("; ", faults));
    }
    Map<String, byte[]> content = new HashMap<>();
    for (String name : List.of(MODEL, SAMPLES)) {
      byte[] data = files.read(name);
      String found = sha256(data);
      String expected = manifest.get("files").get(name).textValue();
      if (!found.equals(expected)) {
        throw new PackageException(
            name + " is not the file that was packaged: its sha256 is " + found + ", " + MANIFEST + " says " + expected
                + "; build the package again");
      }
      content.put(name, data);
    }
    JsonNode samples = Json.read(content.get(SAMPLES), SAMPLES);
    List<JsonNode> records = objects(samples, "records");
    List<JsonNode> answers = objects(samples, "answers");
    if (records.isEmpty() || records.size() != answers.size()) {
      throw new PackageException(
          SAMPLES + " must hold at least one record and one answer for each; it holds " + records.size()
              + " records and " + answers.size() + " answers");
    }
    List<Field> inputs = new ArrayList<>();
    manifest.get("inputs").forEach(
        entry -> inputs.add(new Field(entry.get("name").textValue(), Field.Type.named(entry.get("type")))));
    List<JsonNode> classes = new ArrayList<>();
    manifest.path("classes").forEach(classes::add);
    return new FunctionPackage(
        manifest.get("name").textValue(),
        manifest.get("version").textValue(),
        "v" + manifest.get("version").textValue() + "-" + sha256(described).substring(0, 12),
        manifest.get("key").textValue(),
        List.copyOf(inputs),
        List.copyOf(classes),
        !classes.isEmpty() && manifest.get("output").textValue().equals("probability"),
        manifest.get("tolerance").doubleValue(),
        content.get(MODEL),
        records,
        answers);
  }

  private static void checkSignature(byte[] described, Source files, List<PublicKey> keys) throws PackageException {
    byte[] signature;
    try {
      signature = files.read(SIGNATURE);
    } catch (PackageException error) {
      throw new PackageException(
          "the package is not signed, and only signed ones are served: " + error.getMessage(), error);
    }
    if (!Signatures.isSigned(described, signature, keys)) {
      throw new PackageException(
          SIGNATURE + " is no signature of this " + MANIFEST + " by any of the " + keys.size()
              + " keys that are trusted: it was changed, or signed by another");
    }
  }

  private static List<JsonNode> objects(JsonNode samples, String name) throws PackageException {
    List<JsonNode> found = new ArrayList<>();
    samples.path(name).forEach(found::add);
    if (!samples.path(name).isArray() || !found.stream().allMatch(JsonNode::isObject)) {
      throw new PackageException(SAMPLES + ": `" + name + "` must be a list of objects");
    }
    return List.copyOf(found);
  }

  private static List<String> faults(JsonNode manifest) {
    if (!manifest.path("format").isInt() || manifest.path("format").intValue() != FORMAT) {
      // Nothing else can be judged in a format that this runtime does not know.
      return List.of("format is " + manifest.path("format") + ", this runtime reads format " + FORMAT);
    }
    List<String> faults = new ArrayList<>();
    String token = "1 to 128 of A-Z a-z 0-9 _ . - that start with a letter or digit";
    check(faults, manifest, "name", isToken(manifest.path("name")), token);
    check(faults, manifest, "version", isToken(manifest.path("version")), token);
    check(faults, manifest, "key", manifest.path("key").isTextual(), "the training key");
    check(faults, manifest, "runtime", manifest.path("runtime").asText().equals("mleap"), "'mleap'");
    check(faults, manifest, "task", isOneOf(manifest.path("task"), "binary", "multiclass", "regression"),
        "binary or multiclass or regression");
    check(faults, manifest, "output", isOneOf(manifest.path("output"), "probability", "prediction"),
        "probability or prediction");
    JsonNode tolerance = manifest.path("tolerance");
    check(faults, manifest, "tolerance",
        tolerance.isNumber() && tolerance.doubleValue() >= 0 && tolerance.doubleValue() < 1,
        "a number from 0 to below 1");
    check(faults, manifest, "files", areDigests(manifest.path("files")),
        "a sha256 for each of " + MODEL + " and " + SAMPLES + ", and no other file");
    check(faults, manifest, "classes", areClasses(manifest),
        "null for a regression, otherwise two or more different strings or whole numbers");
    JsonNode inputs = manifest.path("inputs");
    check(faults, manifest, "inputs", inputs.isArray() && !inputs.isEmpty(), "a list of one or more columns");
    Set<String> seen = new HashSet<>();
    int position = 0;
    for (JsonNode entry : inputs) {
      String name = entry.path("name").textValue();
      if (name == null || name.isEmpty() || Field.Type.named(entry.path("type")) == null) {
        faults.add("inputs[" + position + "] is " + shown(entry) + ", expected a name and a type of "
            + String.join(", ", Field.Type.names()));
      } else if (!seen.add(name)) {
        faults.add("inputs[" + position + "] repeats the column " + Described.text(name));
      }
      position++;
    }
    return faults;
  }

  private static void check(List<String> faults, JsonNode manifest, String name, boolean good, String expected) {
    if (!good) {
      faults.add(name + " is " + shown(manifest.path(name)) + ", expected " + expected);
    }
  }

  private static String shown(JsonNode value) {
    String text = value.toString();
    return text.substring(0, Math.min(text.length(), LONGEST_FOUND));
  }

  private static boolean isToken(JsonNode value) {
    return value.isTextual() && TOKEN.matcher(value.textValue()).matches();
  }

  private static boolean isOneOf(JsonNode value, String... allowed) {
    return value.isTextual() && Set.of(allowed).contains(value.textValue());
  }

  private static boolean areDigests(JsonNode files) {
    return files.size() == 2 && isDigest(files.path(MODEL)) && isDigest(files.path(SAMPLES));
  }

  private static boolean isDigest(JsonNode value) {
    return value.isTextual() && DIGEST.matcher(value.textValue()).matches();
  }

  private static boolean areClasses(JsonNode manifest) {
    JsonNode classes = manifest.path("classes");
    if (manifest.path("task").asText().equals("regression")) {
      return classes.isNull() || classes.isMissingNode();
    }
    Set<String> labels = new HashSet<>();
    for (JsonNode value : classes) {
      if (!value.isTextual() && !value.isIntegralNumber()) {
        return false;
      }
      labels.add(value.asText());
    }
    return classes.isArray() && classes.size() >= 2 && labels.size() == classes.size();
  }

  private static String sha256(byte[] data) {
    try {
      return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(data));
    } catch (NoSuchAlgorithmException error) {
      throw new IllegalStateException(error);
    }
  }
}
