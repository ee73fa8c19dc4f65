import java.io.*;
import java.nio.charset.StandardCharsets;
import java.util.*;

/** Loads each file named on standard input and prints its properties in hexadecimal, sorted. */
public class Load {
    public static void main(String[] args) throws IOException {
        BufferedReader names = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String name; (name = names.readLine()) != null; ) {
            Properties p = new Properties();
            try (InputStream in = new FileInputStream(name)) {
                p.load(in);
            } catch (IllegalArgumentException e) {
                System.out.println("refused");
                continue;
            }
            Set<String> all = new TreeSet<>();
            for (String key : p.stringPropertyNames()) {
                all.add(hex(key) + "=" + hex(p.getProperty(key)));
            }
            System.out.println("read " + String.join(" ", all));
        }
    }

    private static String hex(String s) {
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            if (Character.isSurrogate(c) && Character.isBmpCodePoint(s.codePointAt(i)) && !(i > 0 && Character.isSurrogatePair(s.charAt(i - 1), c))) {
                c = '\uFFFD'; // one without its other half
            }
            out.append(String.format("%04x", (int) c));
        }
        return out.toString();
    }
}
