import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.logs.Severity;
import io.opentelemetry.exporter.otlp.http.logs.OtlpHttpLogRecordExporter;
import io.opentelemetry.exporter.otlp.http.metrics.OtlpHttpMetricExporter;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.otlp.logs.OtlpGrpcLogRecordExporter;
import io.opentelemetry.exporter.otlp.metrics.OtlpGrpcMetricExporter;
import io.opentelemetry.exporter.otlp.trace.OtlpGrpcSpanExporter;
import io.opentelemetry.sdk.common.CompletableResultCode;
import io.opentelemetry.sdk.logs.SdkLoggerProvider;
import io.opentelemetry.sdk.logs.export.BatchLogRecordProcessor;
import io.opentelemetry.sdk.logs.export.LogRecordExporter;
import io.opentelemetry.sdk.metrics.SdkMeterProvider;
import io.opentelemetry.sdk.metrics.export.MetricExporter;
import io.opentelemetry.sdk.metrics.export.PeriodicMetricReader;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** Sends spans, data points and log records through the OpenTelemetry SDK for Java; exits with 0 if all went well. */
public final class OtelClient {
  private static final Map<String, String> options = new HashMap<>(Map.of(
      "protocol", "grpc", "name", "java", "count", "100", "compression", "none"));

  private static void join(CompletableResultCode result) {
    if (!result.join(20, TimeUnit.SECONDS).isSuccess()) {
      System.out.println("an export failed: " + result.getFailureThrowable());
      System.exit(1);
    }
  }

  private static SpanExporter spans(boolean grpc, String at, byte[] ca) {
    String zip = options.get("compression");
    if (grpc) {
      var made = OtlpGrpcSpanExporter.builder().setEndpoint(at).setCompression(zip);
      return (ca == null ? made : made.setTrustedCertificates(ca)).build();
    }
    var made = OtlpHttpSpanExporter.builder().setEndpoint(at + "/v1/traces").setCompression(zip);
    return (ca == null ? made : made.setTrustedCertificates(ca)).build();
  }

  private static MetricExporter points(boolean grpc, String at, byte[] ca) {
    String zip = options.get("compression");
    if (grpc) {
      var made = OtlpGrpcMetricExporter.builder().setEndpoint(at).setCompression(zip);
      return (ca == null ? made : made.setTrustedCertificates(ca)).build();
    }
    var made = OtlpHttpMetricExporter.builder().setEndpoint(at + "/v1/metrics").setCompression(zip);
    return (ca == null ? made : made.setTrustedCertificates(ca)).build();
  }

  private static LogRecordExporter records(boolean grpc, String at, byte[] ca) {
    String zip = options.get("compression");
    if (grpc) {
      var made = OtlpGrpcLogRecordExporter.builder().setEndpoint(at).setCompression(zip);
      return (ca == null ? made : made.setTrustedCertificates(ca)).build();
    }
    var made = OtlpHttpLogRecordExporter.builder().setEndpoint(at + "/v1/logs").setCompression(zip);
    return (ca == null ? made : made.setTrustedCertificates(ca)).build();
  }

  public static void main(String[] args) throws Exception {
    for (String arg : args) {
      String[] parts = arg.replaceFirst("^--", "").split("=", 2);
      options.put(parts[0], parts[1]);
    }
    boolean grpc = options.get("protocol").equals("grpc");
    String name = options.get("name");
    byte[] ca = options.containsKey("ca") ? Files.readAllBytes(Path.of(options.get("ca"))) : null;
    String at = (ca == null ? "http://" : "https://") + options.get("endpoint");
    Resource about = Resource.create(Attributes.of(AttributeKey.stringKey("service.name"), name));
    var traces = SdkTracerProvider.builder().setResource(about)
        .addSpanProcessor(BatchSpanProcessor.builder(spans(grpc, at, ca)).build()).build();
    var metrics = SdkMeterProvider.builder().setResource(about)
        .registerMetricReader(PeriodicMetricReader.create(points(grpc, at, ca))).build();
    var logs = SdkLoggerProvider.builder().setResource(about)
        .addLogRecordProcessor(BatchLogRecordProcessor.builder(records(grpc, at, ca)).build()).build();
    var counter = metrics.get("interop").counterBuilder("interop.sent").build();
    for (int i = 0; i < Integer.parseInt(options.get("count")); i++) {
      String item = String.format("%s-%06d", name, i);
      var span = traces.get("interop").spanBuilder(item).startSpan();
      span.addEvent("event", Attributes.of(AttributeKey.stringKey("item"), item));
      span.end();
      counter.add(1, Attributes.of(AttributeKey.stringKey("item"), item));
      logs.get("interop").logRecordBuilder().setBody(item).setSeverity(Severity.INFO).emit();
    }
    join(traces.forceFlush());
    join(logs.forceFlush());
    join(traces.shutdown());
    join(metrics.shutdown());
    join(logs.shutdown());
    System.exit(0);
  }
}
