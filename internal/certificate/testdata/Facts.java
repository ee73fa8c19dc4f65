import java.io.*;
import java.security.*;
import java.security.cert.*;
import java.security.interfaces.*;
import java.util.*;

/**
 * Reads lines "TYPE FILE", and prints what Java says of the first certificate
 * of the store's one private key, all stores under the password "secret":
 * days from the first to the last moment, seconds of both, key, signature's
 * algorithm, names, extended key usages, length of the chain.
 */
public class Facts {
    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; ) {
            String[] words = line.split("\t");
            KeyStore store = KeyStore.getInstance(words[0]);
            try (InputStream file = new FileInputStream(words[1])) {
                store.load(file, "secret".toCharArray());
            }
            String alias = store.aliases().nextElement();
            X509Certificate cert = (X509Certificate) store.getCertificate(alias);
            List<String> names = new ArrayList<>();
            if (cert.getSubjectAlternativeNames() != null) {
                for (List<?> name : cert.getSubjectAlternativeNames()) {
                    names.add(name.get(1).toString());
                }
            }
            List<String> usage = cert.getExtendedKeyUsage();
            System.out.println(String.join("|",
                "" + cert.getNotBefore().getTime() / 1000, "" + cert.getNotAfter().getTime() / 1000,
                key(cert.getPublicKey()), cert.getSigAlgName(),
                String.join(",", names), usage == null ? "" : String.join(",", usage),
                "" + store.getCertificateChain(alias).length));
        }
    }

    private static String key(PublicKey key) {
        if (key instanceof RSAPublicKey) {
            return "RSA " + ((RSAPublicKey) key).getModulus().bitLength();
        }
        if (key instanceof ECPublicKey) {
            return "EC " + ((ECPublicKey) key).getParams().getCurve().getField().getFieldSize();
        }
        return key.getAlgorithm().replace("EdDSA", "Ed25519");
    }
}
