package penstock.function;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.StreamWriteFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.NullNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;

/** JSON, read strictly and written with the shortest digits that give a number back. */
final class Json {
  static final JsonNode NULL = NullNode.getInstance();

  private static final ObjectMapper MAPPER =
      JsonMapper.builder(
              JsonFactory.builder()
                  .enable(StreamWriteFeature.USE_FAST_DOUBLE_WRITER)
                  .enable(StreamReadFeature.USE_FAST_DOUBLE_PARSER)
                  .build())
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .build();

  private Json() {}

  /** The value of a file of a package. */
  static JsonNode read(byte[] data, String name) throws PackageException {
    try {
      return MAPPER.readTree(data);
    } catch (IOException error) {
      throw new PackageException(name + " is not JSON: " + said(error), error);
    }
  }

  /** The value of a request's body; a 400 with the place of the first thing that is not JSON. */
  static JsonNode parse(byte[] body) {
    if (body.length == 0) {
      throw new Refusal(400, "json", "the body is empty, expected " + Service.EXPECTED);
    }
    try {
      return MAPPER.readTree(body);
    } catch (IOException error) {
      String text = new String(body, StandardCharsets.ISO_8859_1);
      boolean named = List.of("NaN", "Infinity").stream().anyMatch(text::contains);
      String hint = named ? "; NaN and Infinity are not JSON, send null" : "";
      throw new Refusal(400, "json", "the body is not JSON: " + said(error) + hint);
    }
  }

  static byte[] write(Object value) {
    try {
      return MAPPER.writeValueAsBytes(value);
    } catch (JsonProcessingException error) {
      throw new IllegalStateException(error);
    }
  }

  private static String said(IOException error) {
    if (error instanceof JsonProcessingException json && json.getLocation() != null) {
      String place = "line " + json.getLocation().getLineNr() + ", column " + json.getLocation().getColumnNr();
      return json.getOriginalMessage() + " (" + place + ")";
    }
    return error.getMessage();
  }
}
