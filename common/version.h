/* version: what a program says of itself for --version. Linked into the programs alone, so that a
 * new commit makes nothing else be linked again. */
#ifndef COMMON_VERSION_H
#define COMMON_VERSION_H

/* "0.1.0 (build 1595f5d1ab3e)": the chart's version, and the commit it was built from; the build is
 * "unknown" where there is no checkout, as in a tarball, unless make was told REVISION. */
extern const char version_text[];

#endif
