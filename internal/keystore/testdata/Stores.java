import java.io.*;
import java.security.*;
import java.security.cert.Certificate;
import java.util.*;

/**
 * Reads commands on standard input, words apart by tabs.
 *
 * make TYPE FILE PASSWORD KEYPASSWORD FROM ...: a store of this type with the
 * entries of PKCS#12 stores (all under the password "secret"); of those whose
 * name holds "trust" the certificates only.
 *
 * list TYPE FILE PASSWORD: a line with each entry and the digests of its chain.
 */
public class Stores {
    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, java.nio.charset.StandardCharsets.UTF_8));
        for (String line; (line = in.readLine()) != null; ) {
            String[] words = line.split("\t", -1);
            if (words[0].equals("make")) {
                make(words);
            } else {
                System.out.println(list(words));
            }
        }
    }

    private static void make(String[] words) throws Exception {
        KeyStore out = KeyStore.getInstance(words[1]);
        out.load(null, null);
        for (int i = 5; i < words.length; i++) {
            KeyStore from = load("PKCS12", words[i], "secret");
            String name = "entry" + i;
            for (String alias : Collections.list(from.aliases())) {
                if (words[i].contains("trust")) {
                    out.setCertificateEntry(name, from.getCertificate(alias));
                } else {
                    out.setKeyEntry(name, from.getKey(alias, "secret".toCharArray()), words[4].toCharArray(), from.getCertificateChain(alias));
                }
            }
        }
        try (OutputStream file = new FileOutputStream(words[2])) {
            out.store(file, words[3].toCharArray());
        }
    }

    private static KeyStore load(String type, String file, String password) throws Exception {
        KeyStore store = KeyStore.getInstance(type);
        try (InputStream in = new FileInputStream(file)) {
            store.load(in, password.toCharArray());
        }
        return store;
    }

    private static String list(String[] words) {
        try {
            KeyStore store = load(words[1], words[2], words[3]);
            Set<String> entries = new TreeSet<>();
            for (String alias : Collections.list(store.aliases())) {
                boolean key = store.isKeyEntry(alias);
                StringBuilder entry = new StringBuilder(key ? "key" : "cert");
                Certificate[] chain = key ? store.getCertificateChain(alias) : new Certificate[] {store.getCertificate(alias)};
                for (Certificate cert : chain) {
                    byte[] sum = MessageDigest.getInstance("SHA-256").digest(cert.getEncoded());
                    entry.append(String.format(" %02x%02x%02x%02x", sum[0], sum[1], sum[2], sum[3]));
                }
                entries.add(alias + " " + entry);
            }
            return String.join("|", entries);
        } catch (Exception e) {
            return "refused";
        }
    }
}
