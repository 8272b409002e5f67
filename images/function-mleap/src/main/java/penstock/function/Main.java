package penstock.function;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.PublicKey;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.logging.Level;
import java.util.logging.Logger;

/**
 * `java -jar penstock-function.jar --package DIR --port N`: prove a package, then serve it.
 *
 * <p>Without `--package` it serves at once and waits for OpenWhisk's POST /init. It says on stdout, as JSON lines, when
 * it is ready and on which port; SIGTERM ends it after the requests in hand are answered.
 *
 * <p>With `--key FILE`, or keys in PENSTOCK_PUBLIC_KEYS, it serves only what one of them signed.
 *
 * <p>Exit codes: 0 stopped by a signal, 1 the port cannot be had, 2 wrong arguments, 3 the package is refused.
 */
public final class Main {
  private static final String USAGE =
      "penstock-function [--package DIR] [--key FILE] [--port PORT] [--bind ADDRESS]: serve a function package over HTTP";
  private static final Set<String> OPTIONS = Set.of("--package", "--key", "--port", "--bind");
  private static final int LAST_PORT = 65535;
  // It warns that this JVM has no vector instructions to offer, in no JSON; it is kept, as loggers nobody holds are lost.
  private static final Logger BLAS = Logger.getLogger("dev.ludovic.netlib");

  private Main() {}

  /** Serve until a signal comes. */
  public static void main(String[] arguments) {
    int code = start(arguments);
    if (code != 0) {
      System.exit(code);
    }
  }

  private static int start(String[] arguments) {
    BLAS.setLevel(Level.SEVERE);
    Map<String, String> options = new LinkedHashMap<>(Map.of("--port", "8080", "--bind", "127.0.0.1"));
    for (int place = 0; place < arguments.length; place += 2) {
      if (!OPTIONS.contains(arguments[place]) || place + 1 == arguments.length) {
        System.err.println(USAGE + "\n" + arguments[place] + " is no option, or has no value");
        return 2;
      }
      options.put(arguments[place], arguments[place + 1]);
    }
    String port = options.get("--port");
    if (!port.matches("[0-9]{1,5}") || Integer.parseInt(port) > LAST_PORT) {
      System.err.println(USAGE + "\n" + port + " is no port, expected 0 to " + LAST_PORT);
      return 2;
    }
    List<PublicKey> keys;
    try {
      keys = keys(options.get("--key"));
    } catch (IOException | IllegalArgumentException error) {
      System.err.println(USAGE + "\nthe public keys: " + error.getMessage());
      return 2;
    }
    Service service = new Service(keys);
    String folder = options.get("--package");
    if (folder != null) {
      try {
        service.serve(FunctionPackage.load(Path.of(folder), keys));
      } catch (PackageException error) {
        Log.trouble("refused", Map.of("package", folder, "reason", error.getMessage()));
        return 3;
      }
    }
    try {
      InetAddress bind = InetAddress.getByName(options.get("--bind"));
      serve(service, new InetSocketAddress(bind, Integer.parseInt(port)));
    } catch (IOException error) {
      String reason = "cannot listen on " + options.get("--bind") + " port " + port + ": " + error.getMessage();
      Log.trouble("refused", Map.of("reason", reason));
      return 1;
    }
    return 0;
  }

  /** Those of a file, else those of the variable; an empty file is a mistake, which would let anything in. */
  private static List<PublicKey> keys(String file) throws IOException {
    if (file != null) {
      return Signatures.publicKeys(Files.readString(Path.of(file)));
    }
    String text = System.getenv(Signatures.PUBLIC_KEYS);
    return text == null || text.isEmpty() ? List.of() : Signatures.publicKeys(text);
  }

  private static void serve(Service service, InetSocketAddress address) throws IOException {
    Server server = new Server(service, address);
    Runtime.getRuntime().addShutdownHook(
        new Thread(() -> {
          server.stop();
          // Stopped by a signal is stopped well; the JVM would say 143.
          Runtime.getRuntime().halt(0);
        }));
    InetSocketAddress bound = server.start();
    Map<String, Object> said = new LinkedHashMap<>();
    said.put("port", bound.getPort());
    said.put("bind", bound.getAddress().getHostAddress());
    said.put("name", service.served().map(FunctionPackage::name).orElse(null));
    said.put("version", service.served().map(FunctionPackage::version).orElse(null));
    Log.event(service.served().isPresent() ? "ready" : "waiting", said);
  }
}
