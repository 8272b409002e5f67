package penstock.function;

import com.fasterxml.jackson.core.io.NumberOutput;
import com.fasterxml.jackson.databind.JsonNode;
import java.math.BigDecimal;

/** JSON values in a few words, never longer than a line however large they are. */
final class Described {
  private static final int SHOWN = 40;
  private static final int LONGEST_NAME = 100;
  private static final int BITS = 128;
  private static final int SMALLEST_PLAIN = -4;
  private static final int LARGEST_PLAIN = 15;

  private Described() {}

  static String value(JsonNode value) {
    if (value.isNull() || value.isBoolean()) {
      return value.asText();
    }
    if (value.isTextual()) {
      String text = value.textValue();
      String shown = start(text, SHOWN);
      return "the string " + text(shown.length() < text.length() ? shown + "…" : text);
    }
    if (value.isIntegralNumber()) {
      int bits = value.bigIntegerValue().bitLength();
      return bits <= BITS ? value.asText() : "a whole number of " + bits + " bits";
    }
    if (value.isNumber()) {
      return number(value.doubleValue());
    }
    return value.isObject()
        ? "an object with " + value.size() + " fields"
        : "an array of " + value.size() + " values";
  }

  /** A number in the shortest digits that give it back, as the runtime in Python writes it. */
  private static String number(double value) {
    String shortest = NumberOutput.toString(value, true);
    if (value == 0) {
      return shortest;
    }
    if (!Double.isFinite(value)) {
      return value > 0 ? "inf" : "-inf";
    }
    BigDecimal exact = new BigDecimal(shortest).stripTrailingZeros();
    int exponent = exact.precision() - exact.scale() - 1;
    if (exponent >= SMALLEST_PLAIN && exponent <= LARGEST_PLAIN) {
      return exact.scale() > 0 ? exact.toPlainString() : exact.toPlainString() + ".0";
    }
    BigDecimal digits = exact.movePointLeft(exponent).stripTrailingZeros();
    return String.format("%se%+03d", digits.toPlainString(), exponent);
  }

  /** A name in quotes, and no more of it than a line holds. */
  static String name(String name) {
    return text(start(name, LONGEST_NAME));
  }

  /** At most so many characters of a text. */
  private static String start(String text, int characters) {
    boolean isShort = text.codePointCount(0, text.length()) <= characters;
    return isShort ? text : text.substring(0, text.offsetByCodePoints(0, characters));
  }

  /** A text in quotes. */
  static String text(String text) {
    char quote = text.indexOf('\'') >= 0 && text.indexOf('"') < 0 ? '"' : '\'';
    StringBuilder quoted = new StringBuilder().append(quote);
    text.codePoints()
        .forEach(
            point -> {
              switch (point) {
                case '\n' -> quoted.append("\\n");
                case '\r' -> quoted.append("\\r");
                case '\t' -> quoted.append("\\t");
                default -> {
                  if (point == quote || point == '\\') {
                    quoted.append('\\').appendCodePoint(point);
                  } else if (Character.isISOControl(point)) {
                    quoted.append(String.format("\\x%02x", point));
                  } else if (Character.getType(point) == Character.SURROGATE) {
                    quoted.append(String.format("\\u%04x", point));
                  } else {
                    quoted.appendCodePoint(point);
                  }
                }
              }
            });
    return quoted.append(quote).toString();
  }
}
