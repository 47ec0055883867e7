// Command otel-client sends spans, data points and log records through the OpenTelemetry SDK for Go, and
// exits with 0 if every export was a success.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otellog "go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/credentials"
)

var (
	protocol  = flag.String("protocol", "grpc", "grpc or http")
	endpoint  = flag.String("endpoint", "", "HOST:PORT")
	name      = flag.String("name", "go", "what the items are named after")
	count     = flag.Int("count", 100, "items of each signal")
	gzip      = flag.Bool("gzip", false, "compress")
	ca        = flag.String("ca", "", "PEM of the authority; with it TLS is used")
	cert, key = flag.String("cert", "", "PEM of the client's certificate"), flag.String("key", "", "and its key")
	token     = flag.String("token", "", "bearer token")
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func tlsConfig() *tls.Config {
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(must(os.ReadFile(*ca)))
	if *cert != "" {
		config.Certificates = []tls.Certificate{must(tls.LoadX509KeyPair(*cert, *key))}
	}
	return config
}

func headers() map[string]string {
	if *token == "" {
		return nil
	}
	return map[string]string{"authorization": "Bearer " + *token}
}

func exporters(ctx context.Context) (sdktrace.SpanExporter, sdkmetric.Exporter, sdklog.Exporter) {
	if *protocol == "grpc" {
		t := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(*endpoint), otlptracegrpc.WithHeaders(headers())}
		m := []otlpmetricgrpc.Option{otlpmetricgrpc.WithEndpoint(*endpoint), otlpmetricgrpc.WithHeaders(headers())}
		l := []otlploggrpc.Option{otlploggrpc.WithEndpoint(*endpoint), otlploggrpc.WithHeaders(headers())}
		if *ca == "" {
			t, m, l = append(t, otlptracegrpc.WithInsecure()), append(m, otlpmetricgrpc.WithInsecure()), append(l, otlploggrpc.WithInsecure())
		} else {
			creds := credentials.NewTLS(tlsConfig())
			t = append(t, otlptracegrpc.WithTLSCredentials(creds))
			m = append(m, otlpmetricgrpc.WithTLSCredentials(creds))
			l = append(l, otlploggrpc.WithTLSCredentials(creds))
		}
		if *gzip {
			t, m, l = append(t, otlptracegrpc.WithCompressor("gzip")), append(m, otlpmetricgrpc.WithCompressor("gzip")), append(l, otlploggrpc.WithCompressor("gzip"))
		}
		return must(otlptracegrpc.New(ctx, t...)), must(otlpmetricgrpc.New(ctx, m...)), must(otlploggrpc.New(ctx, l...))
	}
	t := []otlptracehttp.Option{otlptracehttp.WithEndpoint(*endpoint), otlptracehttp.WithHeaders(headers())}
	m := []otlpmetrichttp.Option{otlpmetrichttp.WithEndpoint(*endpoint), otlpmetrichttp.WithHeaders(headers())}
	l := []otlploghttp.Option{otlploghttp.WithEndpoint(*endpoint), otlploghttp.WithHeaders(headers())}
	if *ca == "" {
		t, m, l = append(t, otlptracehttp.WithInsecure()), append(m, otlpmetrichttp.WithInsecure()), append(l, otlploghttp.WithInsecure())
	} else {
		config := tlsConfig()
		t, m, l = append(t, otlptracehttp.WithTLSClientConfig(config)), append(m, otlpmetrichttp.WithTLSClientConfig(config)), append(l, otlploghttp.WithTLSClientConfig(config))
	}
	if *gzip {
		t = append(t, otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
		m = append(m, otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression))
		l = append(l, otlploghttp.WithCompression(otlploghttp.GzipCompression))
	}
	return must(otlptrace.New(ctx, otlptracehttp.NewClient(t...))), must(otlpmetrichttp.New(ctx, m...)), must(otlploghttp.New(ctx, l...))
}

func main() {
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var failed error
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { failed = errors.Join(failed, err) }))
	spans, points, records := exporters(ctx)
	about := resource.NewSchemaless(attribute.String("service.name", *name))

	traces := sdktrace.NewTracerProvider(sdktrace.WithBatcher(spans), sdktrace.WithResource(about))
	metrics := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(points)), sdkmetric.WithResource(about))
	logs := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewBatchProcessor(records)), sdklog.WithResource(about))
	counter := must(metrics.Meter("interop").Int64Counter("interop.sent"))
	for i := range *count {
		item := fmt.Sprintf("%s-%06d", *name, i)
		_, span := traces.Tracer("interop").Start(ctx, item)
		span.AddEvent("event", trace.WithAttributes(attribute.String("item", item)))
		span.End()
		counter.Add(ctx, 1, metric.WithAttributes(attribute.String("item", item)))
		var record otellog.Record
		record.SetBody(attribute.StringValue(item))
		record.SetSeverity(otellog.SeverityInfo)
		record.AddAttributes(attribute.ByteSlice("bytes", []byte{0, 255}), attribute.Map("map", attribute.Float64("f", 1.5)))
		logs.Logger("interop").Emit(ctx, record)
	}
	failed = errors.Join(failed, traces.Shutdown(ctx), metrics.Shutdown(ctx), logs.Shutdown(ctx))
	if failed != nil {
		fmt.Println(strings.ReplaceAll(failed.Error(), "\n", "; "))
		os.Exit(1)
	}
}
