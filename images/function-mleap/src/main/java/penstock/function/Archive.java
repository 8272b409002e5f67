package penstock.function;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;

/** Zips, read in memory within bounds. */
final class Archive {
  /** Bytes of all files together; a forest of a thousand deep trees is a tenth of it. */
  static final int MAX_UNPACKED = 256 << 20;

  private Archive() {}

  /** The files of a zipped package; nothing is written, so no entry can land outside a folder. */
  static FunctionPackage.Source reader(byte[] data) throws PackageException {
    Map<String, byte[]> files = new HashMap<>();
    String names = String.join(", ", new TreeSet<>(FunctionPackage.FILES));
    for (Map.Entry<String, byte[]> entry : unpacked(data, "the package")) {
      // Only these plain names are let through, which rules out absolute paths, `..` and folders.
      if (!FunctionPackage.FILES.contains(entry.getKey())) {
        throw new PackageException(
            "the zip holds " + Described.text(entry.getKey()) + ", which is no file of a package; it may hold " + names
                + " at its top, and nothing else");
      }
      if (files.put(entry.getKey(), entry.getValue()) != null) {
        throw new PackageException("the zip holds " + entry.getKey() + " twice");
      }
    }
    return name -> {
      if (!files.containsKey(name)) {
        throw new PackageException("the zip has no " + name + "; it must hold " + names);
      }
      return files.get(name);
    };
  }

  /** The entries of a zip, unpacked; `what` names it where it is none or too large. */
  static List<Map.Entry<String, byte[]>> unpacked(byte[] data, String what) throws PackageException {
    List<Map.Entry<String, byte[]>> entries = new ArrayList<>();
    int left = MAX_UNPACKED;
    try (ZipInputStream zip = new ZipInputStream(new ByteArrayInputStream(data))) {
      for (ZipEntry entry = zip.getNextEntry(); entry != null; entry = zip.getNextEntry()) {
        // One byte more than is allowed tells that there are more.
        byte[] content = zip.readNBytes(left + 1);
        left -= content.length;
        if (left < 0) {
          throw new PackageException(what + " unpacks to more than " + MAX_UNPACKED + " bytes");
        }
        entries.add(Map.entry(entry.getName(), content));
      }
    } catch (IOException | IllegalArgumentException error) {
      throw new PackageException(what + " is not a zip file: " + error.getMessage(), error);
    }
    if (entries.isEmpty()) {
      throw new PackageException(what + " is not a zip file: it has no entry");
    }
    return entries;
  }
}
