# shellcheck shell=bash disable=SC2034
# Apache Kafka 4.4.0 as its published jars: broker, controller and command line tools.
version=4.4.0

make_part() { # OUT
    command -v mvn >/dev/null || { echo "Maven is not installed" >&2; return 1; }
    mvn --batch-mode --no-transfer-progress --strict-checksums -f pom.xml \
        dependency:copy-dependencies -DincludeScope=runtime "-DoutputDirectory=$1/lib"
}
