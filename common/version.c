#include "common/version.h"

/* The Makefile says both. */
const char version_text[] = SURGETANK_VERSION " (build " SURGETANK_REVISION ")";
