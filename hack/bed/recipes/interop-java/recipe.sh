# shellcheck shell=bash disable=SC2034
# A client for tests/interop: the OpenTelemetry SDK for Java with its OTLP exporters. Run it by
# java -cp "PART/lib/*:PART" OtelClient.
version=1.67.0

make_part() { # OUT
    command -v mvn >/dev/null || { echo "Maven is not installed" >&2; return 1; }
    mvn --batch-mode --no-transfer-progress --strict-checksums -f pom.xml \
        dependency:copy-dependencies -DincludeScope=runtime "-DoutputDirectory=$1/lib"
    javac -cp "$1/lib/*" -d "$1" OtelClient.java
}
