package penstock.function;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;

/**
 * One tensor of a request of the Open Inference Protocol: a column by its name, of shape [N] or [N, 1].
 *
 * <p>Its values are JSON, or bytes by the binary tensor data extension; NaN is null in these.
 */
record InputTensor(String name, List<JsonNode> values) {
  private static final int LONGEST_SHAPE = 60;
  private static final String DATATYPES =
      "BYTES or "
          + Arrays.stream(Datatype.values()).filter(type -> type != Datatype.BYTES).map(Datatype::name)
              .collect(Collectors.joining(", "));

  /** The tensor at a place of `inputs`; what has its values as bytes takes them from `rest`. A 400 for what is none. */
  static InputTensor read(JsonNode tensor, int place, ByteBuffer rest) {
    String where = "inputs[" + place + "]";
    if (!tensor.isObject()) {
      throw malformed(where + " is " + Described.value(tensor) + ", expected an object");
    }
    JsonNode name = member(tensor, "name");
    if (!name.isTextual()) {
      throw malformed(where + ".name is " + Described.value(name) + ", expected the name of a column");
    }
    where = "the input " + Described.name(name.textValue());
    JsonNode datatype = member(tensor, "datatype");
    Datatype type = Datatype.named(datatype);
    if (type == null) {
      throw malformed("the datatype of " + where + " is " + Described.value(datatype) + ", expected " + DATATYPES);
    }
    long rows = rows(member(tensor, "shape"), where);
    JsonNode size = size(tensor, where);
    List<JsonNode> values =
        size.isNull() ? fromJson(member(tensor, "data"), where) : fromBytes(part(rest, size, where), type, where);
    if (values.size() != rows) {
      throw malformed(where + " has " + values.size() + " values, and its shape says " + rows);
    }
    return new InputTensor(name.textValue(), values);
  }

  /** What is no request of the protocol. */
  static Refusal malformed(String sentence) {
    return new Refusal(400, "protocol", sentence);
  }

  /** A member of an object, null where it is not there. */
  static JsonNode member(JsonNode object, String name) {
    JsonNode member = object.get(name);
    return member == null ? Json.NULL : member;
  }

  private static long rows(JsonNode shape, String where) {
    boolean isColumn = shape.isArray() && (shape.size() == 1 || (shape.size() == 2 && isOne(shape.get(1))));
    if (!isColumn || !isSize(shape.get(0))) {
      String found = shape.isArray() ? shape.toString().replace(",", ", ") : Described.value(shape);
      String shown = found.substring(0, Math.min(found.length(), LONGEST_SHAPE));
      throw malformed("the shape of " + where + " is " + shown + ", expected [N] or [N, 1]");
    }
    return shape.get(0).longValue();
  }

  private static boolean isOne(JsonNode value) {
    return isSize(value) && value.longValue() == 1;
  }

  private static boolean isSize(JsonNode value) {
    return value.isIntegralNumber() && value.bigIntegerValue().signum() >= 0;
  }

  private static JsonNode size(JsonNode tensor, String where) {
    JsonNode size = member(member(tensor, "parameters"), "binary_data_size");
    if (!size.isNull() && !isSize(size)) {
      throw malformed("binary_data_size of " + where + " is " + Described.value(size) + ", expected a number of bytes");
    }
    if (!size.isNull() && tensor.has("data")) {
      throw malformed(where + " has both data and binary_data_size, expected one of them");
    }
    return size;
  }

  private static ByteBuffer part(ByteBuffer rest, JsonNode size, String where) {
    if (!size.canConvertToInt() || size.intValue() > rest.remaining()) {
      throw malformed(where + " says that it has " + size + " bytes; " + rest.remaining() + " are left");
    }
    ByteBuffer part = rest.slice(rest.position(), size.intValue()).order(rest.order());
    rest.position(rest.position() + size.intValue());
    return part;
  }

  private static List<JsonNode> fromJson(JsonNode data, String where) {
    if (!data.isArray()) {
      throw malformed("the data of " + where + " is " + Described.value(data) + ", expected an array");
    }
    List<JsonNode> values = new ArrayList<>(data.size());
    // [N, 1] may be nested.
    data.forEach(value -> values.add(value.isArray() && value.size() == 1 ? value.get(0) : value));
    return values;
  }

  private static List<JsonNode> fromBytes(ByteBuffer data, Datatype type, String where) {
    if (type == Datatype.BYTES) {
      return texts(data, where);
    }
    if (data.remaining() % type.size != 0) {
      throw malformed(
          where + " has " + data.remaining() + " bytes, which is no multiple of the " + type.size + " of " + type);
    }
    List<JsonNode> values = new ArrayList<>(data.remaining() / type.size);
    while (data.hasRemaining()) {
      values.add(type.read(data));
    }
    return values;
  }

  private static List<JsonNode> texts(ByteBuffer data, String where) {
    List<JsonNode> texts = new ArrayList<>();
    while (data.hasRemaining()) {
      if (data.remaining() < Integer.BYTES) {
        throw malformed(where + " ends within the length of a text");
      }
      long length = Integer.toUnsignedLong(data.getInt());
      if (length > data.remaining()) {
        throw malformed(where + " ends within a text of " + length + " bytes");
      }
      ByteBuffer text = data.slice(data.position(), (int) length);
      data.position(data.position() + (int) length);
      try {
        texts.add(TextNode.valueOf(StandardCharsets.UTF_8.newDecoder().decode(text).toString()));
      } catch (CharacterCodingException error) {
        throw malformed(where + " holds a text that is not UTF-8");
      }
    }
    return texts;
  }
}
