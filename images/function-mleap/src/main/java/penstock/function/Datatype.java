package penstock.function;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.BigIntegerNode;
import com.fasterxml.jackson.databind.node.BooleanNode;
import com.fasterxml.jackson.databind.node.DoubleNode;
import com.fasterxml.jackson.databind.node.LongNode;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.function.Function;

/** The type of a tensor's values in the Open Inference Protocol, and how one of them is read from bytes. */
enum Datatype {
  BOOL(1, bytes -> BooleanNode.valueOf(bytes.get() != 0)),
  INT8(Byte.BYTES, bytes -> LongNode.valueOf(bytes.get())),
  INT16(Short.BYTES, bytes -> LongNode.valueOf(bytes.getShort())),
  INT32(Integer.BYTES, bytes -> LongNode.valueOf(bytes.getInt())),
  INT64(Long.BYTES, bytes -> LongNode.valueOf(bytes.getLong())),
  UINT8(Byte.BYTES, bytes -> LongNode.valueOf(Byte.toUnsignedInt(bytes.get()))),
  UINT16(Short.BYTES, bytes -> LongNode.valueOf(Short.toUnsignedInt(bytes.getShort()))),
  UINT32(Integer.BYTES, bytes -> LongNode.valueOf(Integer.toUnsignedLong(bytes.getInt()))),
  UINT64(Long.BYTES, bytes -> BigIntegerNode.valueOf(new BigInteger(Long.toUnsignedString(bytes.getLong())))),
  FP16(Short.BYTES, bytes -> number(half(bytes.getShort()))),
  FP32(Float.BYTES, bytes -> number(bytes.getFloat())),
  FP64(Double.BYTES, bytes -> number(bytes.getDouble())),
  /** Text, whose length stands before it. */
  BYTES(0, null);

  private static final int HALF_FRACTION = 10;
  private static final int HALF_ENDLESS = 31;

  /** The bytes of a value. */
  final int size;

  private final Function<ByteBuffer, JsonNode> reading;

  Datatype(int size, Function<ByteBuffer, JsonNode> reading) {
    this.size = size;
    this.reading = reading;
  }

  /** The one of that name in a request, or null. */
  static Datatype named(JsonNode name) {
    return Arrays.stream(values()).filter(type -> type.name().equals(name.textValue())).findAny().orElse(null);
  }

  /** What a column of a type is called. */
  static Datatype of(Field.Type type) {
    return switch (type) {
      case STRING -> BYTES;
      case DOUBLE -> FP64;
      case FLOAT -> FP32;
      case LONG -> INT64;
      case INT -> INT32;
      case BOOLEAN -> BOOL;
    };
  }

  /** The next value of little-endian bytes as JSON has it, null for NaN; not of BYTES. */
  JsonNode read(ByteBuffer bytes) {
    return reading.apply(bytes);
  }

  private static JsonNode number(double value) {
    return Double.isNaN(value) ? Json.NULL : DoubleNode.valueOf(value);
  }

  /** A number of IEEE 754's half precision: a bit of sign, five of exponent, ten of fraction. */
  private static double half(short bits) {
    int exponent = bits >> HALF_FRACTION & HALF_ENDLESS;
    int fraction = bits & (1 << HALF_FRACTION) - 1;
    double size = switch (exponent) {
      case 0 -> Math.scalb((double) fraction, -24);
      case HALF_ENDLESS -> fraction == 0 ? Double.POSITIVE_INFINITY : Double.NaN;
      default -> Math.scalb((double) (1 << HALF_FRACTION) + fraction, exponent - 25);
    };
    return bits < 0 ? -size : size;
  }
}
