package penstock.function;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;

/**
 * Who may have made a package: an ed25519 signature (RFC 8032) of its manifest, which holds the digests of the other files.
 *
 * <p>In base64, as are public keys, which stand between white space; `#` begins a comment.
 */
final class Signatures {
  /** The variable whose value is the text of public keys, where no file of them is given. */
  static final String PUBLIC_KEYS = "PENSTOCK_PUBLIC_KEYS";

  private static final String ALGORITHM = "Ed25519";
  private static final int KEY_BYTES = 32;
  // What stands before the 32 bytes in a SubjectPublicKeyInfo (RFC 8410), the form in which Java takes them.
  private static final byte[] HEAD = HexFormat.of().parseHex("302a300506032b6570032100");

  private Signatures() {}

  /** The one or more public keys of a text; what stands there is not repeated, as it may be a private one. */
  static List<PublicKey> publicKeys(String text) {
    List<String> words = text.lines()
        .flatMap(line -> Arrays.stream(line.replaceFirst("#.*", "").split("\\s+")))
        .filter(word -> !word.isEmpty())
        .toList();
    if (words.isEmpty()) {
      throw new IllegalArgumentException("no public key is there, expected one or more, each of 32 bytes in base64");
    }
    List<PublicKey> keys = new ArrayList<>();
    for (String word : words) {
      try {
        byte[] key = Base64.getDecoder().decode(word);
        if (key.length != KEY_BYTES) {
          throw new IllegalArgumentException();
        }
        byte[] encoded = Arrays.copyOf(HEAD, HEAD.length + KEY_BYTES);
        System.arraycopy(key, 0, encoded, HEAD.length, KEY_BYTES);
        keys.add(KeyFactory.getInstance(ALGORITHM).generatePublic(new X509EncodedKeySpec(encoded)));
      } catch (GeneralSecurityException | IllegalArgumentException error) {
        throw new IllegalArgumentException(
            "number " + (keys.size() + 1) + " of the public keys is none, expected 32 bytes in base64", error);
      }
    }
    return List.copyOf(keys);
  }

  /** Whether a signature is one of `data` by one of the keys. */
  static boolean isSigned(byte[] data, byte[] signature, List<PublicKey> keys) {
    for (PublicKey key : keys) {
      try {
        Signature verifier = Signature.getInstance(ALGORITHM);
        verifier.initVerify(key);
        verifier.update(data);
        if (verifier.verify(Base64.getDecoder().decode(new String(signature, StandardCharsets.US_ASCII).strip()))) {
          return true;
        }
      } catch (GeneralSecurityException | IllegalArgumentException error) {
        continue; // no signature at all
      }
    }
    return false;
  }
}
