import com.google.auth.oauth2.ComputeEngineCredentials;
import com.google.auth.oauth2.GoogleCredentials;
import com.google.auth.oauth2.IdTokenCredentials;
import com.google.auth.oauth2.IdTokenProvider;
import com.google.gson.Gson;
import com.google.gson.JsonObject;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * google-auth-library-oauth2-http, asked in the words of ../contract.ts: a JSON object per line in, one per line out.
 *
 * <p>Nothing is configured: getApplicationDefault() finds the metadata server by itself. The library has no public way
 * to read the zone, and Cloud Storage is another library. Connections belong to the JDK, which keeps them whatever objects
 * are made anew.
 */
final class Client {
  private static final Gson GSON = new Gson();

  private final Map<List<String>, GoogleCredentials> credentials = new HashMap<>();
  private final Map<String, IdTokenCredentials> identities = new HashMap<>();

  /** The library remembers for the life of the process that it is on GCE; the credentials made here are its copies. */
  private GoogleCredentials credentials(List<String> scopes) throws IOException {
    GoogleCredentials kept = credentials.get(scopes);
    if (kept == null) {
      kept = GoogleCredentials.getApplicationDefault().createScoped(scopes);
      credentials.put(scopes, kept);
    }
    return kept;
  }

  private ComputeEngineCredentials computeEngine() throws IOException {
    return (ComputeEngineCredentials) credentials(List.of());
  }

  private String onGce() {
    try {
      return String.valueOf(GoogleCredentials.getApplicationDefault() instanceof ComputeEngineCredentials);
    } catch (IOException notFound) {
      return "false";
    }
  }

  private String accessToken(List<String> scopes) throws IOException {
    GoogleCredentials scoped = credentials(scopes);
    scoped.refreshIfExpired();
    return scoped.getAccessToken().getTokenValue();
  }

  private String identityToken(String audience) throws IOException {
    IdTokenCredentials identity = identities.get(audience);
    if (identity == null) {
      identity =
          IdTokenCredentials.newBuilder()
              .setIdTokenProvider((IdTokenProvider) computeEngine())
              .setTargetAudience(audience)
              .setOptions(List.of(IdTokenProvider.Option.FORMAT_FULL))
              .build();
      identities.put(audience, identity);
    }
    identity.refreshIfExpired();
    return identity.getIdToken().getTokenValue();
  }

  private String projectId() throws IOException {
    String project = computeEngine().getProjectId();
    if (project == null || project.isEmpty()) throw new IOException("the library found no project");
    return project;
  }

  private String perform(JsonObject asked) throws IOException {
    String operation = asked.get("operation").getAsString();
    switch (operation) {
      case "on-gce":
        return onGce();
      case "project-id":
        return projectId();
      case "email":
        return computeEngine().getAccount();
      case "access-token":
        return accessToken(scopesOf(asked));
      case "identity-token":
        return identityToken(asked.get("audience").getAsString());
      case "universe-domain":
        return computeEngine().getUniverseDomain();
      default:
        throw new IllegalArgumentException("unknown operation " + operation);
    }
  }

  private static List<String> scopesOf(JsonObject asked) {
    List<String> scopes = new ArrayList<>();
    if (asked.has("scopes")) asked.getAsJsonArray("scopes").forEach(scope -> scopes.add(scope.getAsString()));
    return scopes;
  }

  private JsonObject answer(JsonObject asked) {
    JsonObject reply = new JsonObject();
    reply.add("id", asked.get("id"));
    try {
      reply.addProperty("value", perform(asked));
      reply.addProperty("ok", true);
    } catch (IOException | RuntimeException error) {
      reply.addProperty("ok", false);
      reply.addProperty("error", describe(error));
    }
    return reply;
  }

  /** With its causes: the library hides what the server said behind sentences of its own. */
  private static String describe(Throwable error) {
    String own = error.getClass().getSimpleName() + ": " + error.getMessage();
    return error.getCause() == null ? own : own + ", caused by " + describe(error.getCause());
  }

  private static Map<String, String> versions() {
    Map<String, String> found = new HashMap<>();
    found.put("google-auth-library-oauth2-http", GoogleCredentials.class.getPackage().getImplementationVersion());
    return found;
  }

  public static void main(String[] arguments) throws IOException {
    PrintStream output = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    if (arguments.length == 1 && arguments[0].equals("--versions")) {
      output.println(GSON.toJson(versions()));
      return;
    }
    BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    Client client = new Client();
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      JsonObject asked = GSON.fromJson(line, JsonObject.class);
      if (asked.has("fresh") && asked.get("fresh").getAsBoolean()) client = new Client();
      output.println(GSON.toJson(client.answer(asked)));
    }
    // The library's own threads must not keep the process alive.
    System.exit(0);
  }
}
