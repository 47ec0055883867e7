# shellcheck shell=bash disable=SC2034
# A Python environment with the OpenTelemetry SDK as client and what the end-to-end tests need.
version=1.45.2-py$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')

make_part() { # OUT FINAL
    python3 -m venv "$1"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements.txt
    # scripts name their interpreter by path, and the directory is renamed when it is whole
    grep -lI "^#!$1/" "$1"/bin/* | xargs sed -i "1s,^#!$1/,#!$2/,"
}
