package penstock.function;

/** The package cannot be served: what is wrong with it, where, and what was expected. */
final class PackageException extends Exception {
  private static final long serialVersionUID = 1;

  PackageException(String message) {
    super(message);
  }

  PackageException(String message, Throwable cause) {
    super(message, cause);
  }
}
