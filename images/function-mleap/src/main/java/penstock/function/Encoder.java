package penstock.function;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/** From JSON records to the rows that a bundle reads, or the faults that say which field of which row is wrong. */
final class Encoder {
  /** What a bundle's column that has a number as text is called before the number's name (jobs/bundle/mleap/frame.py). */
  static final String TEXT_OF = "\u00b7text\u00b7";

  /** One column of a bundle: the field that it is made of, and whether as text. */
  private record Column(Field field, boolean asText) {
    Object value(JsonNode record) {
      JsonNode value = record.get(field.name());
      return asText ? field.type().text(value) : (Object) field.type().number(value);
    }
  }

  private final List<Field> fields;
  private final Set<String> names;
  private final List<Column> columns;

  /** Of a bundle that reads `columns`; all of them are made of `fields`, or it is none of this package. */
  Encoder(List<Field> fields, List<String> columns) throws PackageException {
    this.fields = fields;
    this.names = fields.stream().map(Field::name).collect(Collectors.toUnmodifiableSet());
    List<Column> found = new ArrayList<>();
    for (String column : columns) {
      found.add(column(column));
    }
    this.columns = List.copyOf(found);
  }

  private Column column(String column) throws PackageException {
    for (Field field : fields) {
      boolean isText = field.type() == Field.Type.STRING;
      if (column.equals(field.name()) || (!isText && column.equals(TEXT_OF + field.name()))) {
        return new Column(field, isText || !column.equals(field.name()));
      }
    }
    throw new PackageException(
        FunctionPackage.MODEL + " does not read the package's inputs: it reads " + Described.text(column) + ", "
            + FunctionPackage.MANIFEST + " has " + String.join(", ", names));
  }

  /** The name of the field that a column is made of. */
  String field(int column) {
    return columns.get(column).field().name();
  }

  /** Whether a column holds text. */
  boolean isText(int column) {
    return columns.get(column).asText();
  }

  /** The values of the bundle's columns for a record that has no faults. */
  Object[] row(JsonNode record) {
    Object[] row = new Object[columns.size()];
    for (int place = 0; place < row.length; place++) {
      row[place] = columns.get(place).value(record);
    }
    return row;
  }

  /** Up to MAX_FAULTS reasons why records cannot be scored. */
  List<Fault> faults(List<JsonNode> records) {
    List<Fault> faults = new ArrayList<>();
    for (int row = 0; row < records.size() && faults.size() < Refusal.MAX_FAULTS; row++) {
      addFaults(faults, row, records.get(row));
    }
    return faults.size() > Refusal.MAX_FAULTS ? faults.subList(0, Refusal.MAX_FAULTS) : faults;
  }

  private void addFaults(List<Fault> faults, int row, JsonNode record) {
    if (!record.isObject()) {
      faults.add(new Fault(row, "", Described.value(record), "an object with a value for each column"));
      return;
    }
    int present = 0;
    for (Field field : fields) {
      JsonNode value = record.get(field.name());
      if (value == null) {
        faults.add(new Fault(row, field.name(), "no such field", field.type().expected));
        continue;
      }
      present++;
      if (!field.type().takes(value)) {
        faults.add(new Fault(row, field.name(), Described.value(value), field.type().expected));
      }
    }
    if (record.size() > present) {
      for (Map.Entry<String, JsonNode> entry : record.properties()) {
        String name = entry.getKey();
        if (!names.contains(name)) {
          String shown = name.substring(0, Math.min(name.length(), 100));
          faults.add(new Fault(row, shown, "an unknown field", "only the model's " + fields.size() + " columns"));
        }
      }
    }
  }
}
