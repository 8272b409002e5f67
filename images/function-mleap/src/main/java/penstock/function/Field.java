package penstock.function;

import com.fasterxml.jackson.databind.JsonNode;
import java.math.BigDecimal;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/** One input column of the model: its name and its Spark type. */
record Field(String name, Type type) {

  /** The type of a column: what may stand in it, and how its values are given to a bundle. */
  enum Type {
    STRING("a string or null"),
    DOUBLE("a finite number or null"),
    FLOAT("a number from -3.402823e+38 to 3.402823e+38, or null"),
    LONG("a whole number from -9007199254740992 to 9007199254740992, or null"),
    INT("a whole number from -2147483648 to 2147483647, or null"),
    BOOLEAN("true, false or null");

    // The model reads doubles, which hold every whole number up to here.
    private static final double WHOLE = 0x1p53;

    final String expected;

    Type(String expected) {
      this.expected = expected;
    }

    /** The type of that name in a manifest, or null. */
    static Type named(JsonNode name) {
      return Arrays.stream(values()).filter(type -> type.key().equals(name.textValue())).findAny().orElse(null);
    }

    static List<String> names() {
      return Arrays.stream(values()).map(Type::key).toList();
    }

    private String key() {
      return name().toLowerCase(Locale.ROOT);
    }

    /** Whether a JSON value may stand in a column of this type. */
    boolean takes(JsonNode value) {
      if (value.isNull()) {
        return true;
      }
      return switch (this) {
        case STRING -> value.isTextual() && isUnicode(value.textValue());
        case BOOLEAN -> value.isBoolean();
        case DOUBLE -> isFinite(value);
        case FLOAT -> isFinite(value) && Math.abs(value.doubleValue()) <= Float.MAX_VALUE;
        case LONG -> isWhole(value) && Math.abs(value.doubleValue()) <= WHOLE;
        case INT -> isWhole(value) && value.doubleValue() == (int) value.doubleValue();
      };
    }

    /** A value of a column of numbers, NaN for null. */
    double number(JsonNode value) {
      if (value.isNull()) {
        return Double.NaN;
      }
      return switch (this) {
        case BOOLEAN -> value.booleanValue() ? 1 : 0;
        // A Spark float column never held 0.1 but the single nearest to it, and splits are made of those.
        case FLOAT -> (float) value.doubleValue();
        default -> value.doubleValue();
      };
    }

    /** A value as Spark casts it to text, null for null; NUL too is null, which no category holds. */
    String text(JsonNode value) {
      if (value.isNull()) {
        return null;
      }
      return switch (this) {
        case STRING -> value.textValue().equals("\0") ? null : value.textValue();
        case DOUBLE -> Double.toString(value.doubleValue());
        case FLOAT -> Float.toString((float) value.doubleValue());
        case LONG, INT -> Long.toString((long) value.doubleValue());
        case BOOLEAN -> Boolean.toString(value.booleanValue());
      };
    }

    private static boolean isFinite(JsonNode value) {
      return value.isNumber() && Double.isFinite(value.doubleValue());
    }

    private static boolean isWhole(JsonNode value) {
      if (!isFinite(value)) {
        return false;
      }
      // 2^53 + 1 is no double: it is looked at as it was sent.
      BigDecimal exact = value.decimalValue();
      return exact.stripTrailingZeros().scale() <= 0 && exact.abs().compareTo(new BigDecimal(WHOLE)) <= 0;
    }

    /** Whether a text has no lone surrogate, which JSON cannot carry. */
    private static boolean isUnicode(String text) {
      return text.codePoints().noneMatch(point -> Character.getType(point) == Character.SURROGATE);
    }
  }
}
