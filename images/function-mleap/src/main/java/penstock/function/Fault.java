package penstock.function;

/** One wrong value: its row (from 0), its field ("" for the row itself), what is there and what may be. */
record Fault(int row, String field, String found, String expected) {}
