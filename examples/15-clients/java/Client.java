import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/**
 * A client of a served text classifier, with nothing but the Java 17 platform.
 *
 * <p>Java has no parser of JSON, and needs none: tensors travel as bytes behind a short JSON header (the binary
 * extension of the Open Inference Protocol), and the answer's parts come in the order in which they were asked for.
 */
public final class Client {
    private static final long TRIES = 4, LONGEST_WAIT_MILLIS = 10_000;
    private final HttpClient http;
    private final String url;
    private final Duration timeout;

    private Client(Map<String, String> options) throws GeneralSecurityException, IOException {
        url = options.get("url").replaceAll("/+$", "") + "/v2/models/"
            + URLEncoder.encode(options.get("model"), StandardCharsets.UTF_8).replace("+", "%20");
        timeout = Duration.ofMillis((long) (1000 * Double.parseDouble(options.get("timeout"))));
        var builder = HttpClient.newBuilder().connectTimeout(timeout);
        http = url.startsWith("https:") ? builder.sslContext(sslContext(options)).build() : builder.build();
    }

    public static void main(String[] arguments) throws InterruptedException {
        var options = new HashMap<>(Map.of("url", "http://127.0.0.1:8080", "model", "spam", "timeout", "10"));
        List<String> texts = new ArrayList<>();
        for (int i = 0; i < arguments.length; i++) {
            if (arguments[i].startsWith("--") && i + 1 < arguments.length) {
                options.put(arguments[i].substring(2), arguments[++i]);
            } else {
                texts.add(arguments[i]);
            }
        }
        if (texts.isEmpty()) {
            System.err.println("usage: java Client.java [--url URL] [--model NAME] [--ca PEM]"
                + " [--identity P12 --password WORD] TEXT...");
            System.exit(2);
        }
        try {
            Client client = new Client(options);
            System.out.println(new String(client.send("", null, 0), StandardCharsets.UTF_8).strip());
            client.classify(texts).forEach(System.out::println);
        } catch (IOException | GeneralSecurityException error) {
            System.err.println("Client: " + options.get("url") + ": " + error.getMessage());
            System.exit(1);
        }
    }

    /** Return a line with label, probability and text for each text. */
    private List<String> classify(List<String> texts) throws IOException, InterruptedException {
        ByteArrayOutputStream data = new ByteArrayOutputStream();
        for (String text : texts) { // BYTES: the length in four bytes, little-endian, then the bytes
            byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
            data.write(ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(bytes.length).array());
            data.write(bytes);
        }
        String header = String.format("{\"inputs\":[{\"name\":\"text\",\"datatype\":\"BYTES\",\"shape\":[%d],"
                + "\"parameters\":{\"binary_data_size\":%d}}],\"outputs\":["
                + "{\"name\":\"label\",\"parameters\":{\"binary_data\":true}},"
                + "{\"name\":\"probability\",\"parameters\":{\"binary_data\":true}}]}",
            texts.size(), data.size());
        byte[] body = (header + data.toString(StandardCharsets.ISO_8859_1)).getBytes(StandardCharsets.ISO_8859_1);
        ByteBuffer answer = ByteBuffer.wrap(send("/infer", body, header.length())).order(ByteOrder.LITTLE_ENDIAN);
        List<String> lines = new ArrayList<>();
        for (int i = 0; i < texts.size(); i++) {
            byte[] label = new byte[answer.getInt()];
            answer.get(label);
            lines.add(new String(label, StandardCharsets.UTF_8));
        }
        for (int i = 0; i < texts.size(); i++) { // FP32: four bytes a number, without lengths
            lines.set(i, String.format(Locale.ROOT, "%s %.3f %s", lines.get(i), answer.getFloat(), texts.get(i)));
        }
        return lines;
    }

    /** Send a request; returns what stands behind the JSON header of the answer, or all where it has none. */
    private byte[] send(String path, byte[] body, int headerBytes) throws IOException, InterruptedException {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url + path)).timeout(timeout);
        if (body != null) {
            request.POST(HttpRequest.BodyPublishers.ofByteArray(body))
                .header("Inference-Header-Content-Length", Integer.toString(headerBytes))
                .header("Content-Type", "application/octet-stream");
        }
        Optional.ofNullable(System.getenv("MODELSERVICE_API_KEY"))
            .ifPresent(key -> request.header("Authorization", "Bearer " + key));
        for (int attempt = 1; ; attempt++) {
            HttpResponse<byte[]> response = http.send(request.build(), HttpResponse.BodyHandlers.ofByteArray());
            int status = response.statusCode();
            if ((status == 429 || status == 503) && attempt < TRIES) { // a prediction may be repeated
                var asked = response.headers().firstValue("Retry-After").filter(s -> s.matches("\\d{1,6}"));
                long millis = asked.map(text -> 1000 * Long.parseLong(text)).orElse(100L << attempt);
                Thread.sleep(Math.min(millis, LONGEST_WAIT_MILLIS));
            } else if (status != 200) {
                throw new IOException(status + " " + new String(response.body(), StandardCharsets.UTF_8).strip());
            } else {
                long skipped = response.headers().firstValueAsLong("Inference-Header-Content-Length").orElse(0);
                return Arrays.copyOfRange(response.body(), (int) skipped, response.body().length);
            }
        }
    }

    /** Trust the authority in --ca (PEM), or the platform's; show the certificate in --identity (PKCS #12). */
    private static SSLContext sslContext(Map<String, String> options) throws GeneralSecurityException, IOException {
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        KeyStore authorities = null;
        if (options.containsKey("ca")) {
            authorities = KeyStore.getInstance(KeyStore.getDefaultType());
            authorities.load(null);
            try (FileInputStream file = new FileInputStream(options.get("ca"))) {
                for (Certificate one : CertificateFactory.getInstance("X.509").generateCertificates(file)) {
                    authorities.setCertificateEntry("ca-" + authorities.size(), one);
                }
            }
        }
        trust.init(authorities);
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        char[] password = options.getOrDefault("password", "").toCharArray();
        String identity = options.get("identity");
        keys.init(identity == null ? null : KeyStore.getInstance(new File(identity), password), password);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        return context;
    }
}
